// SPDX-License-Identifier: GPL-2.0
/*
 * PCI trees that exist in memory only, for asking the kernel about machines that nobody has here.
 *
 * A tree is a set of functions, each with 4096 bytes of configuration space and a mask of the bits that may be
 * written. Configuration cycles are answered from that; the kernel enumerates it as it does any other machine's
 * tree. Nothing does DMA, has an interrupt or decodes memory. The files in /sys/kernel/debug/p2ptree, for writing:
 *
 *   function   struct p2ptree_function: one function, where there is none; it is seen when its bus is scanned next
 *   bridge     "DOMAIN FIRST LAST [PARENT]", hexadecimal: a host bridge with these bus numbers, which is
 *              enumerated at once; below the function PARENT (DDDD:BB:DD.F), as Intel's VMD hangs it
 *   sriov      "DDDD:BB:DD.F COUNT": virtual functions of a function; they are switched off with its bridge
 *   ask        "DDDD:BB:DD.F DDDD:BB:DD.F", provider and client: calls pci_p2pdma_distance_many(); the write fails
 *              with EINVAL where the kernel does not allow it, and ENODEV where one of the two is not there
 *   clear      anything: takes all host bridges and functions away
 */
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci-p2pdma.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#define SPACE 4096

/* What is written to the file `function`, in the byte order of the machine. */
struct p2ptree_function {
	u32 domain;
	u16 bus;
	u16 devfn;
	u8 space[SPACE];
	u8 writable[SPACE];
};

struct bridge {
	struct list_head list;
	struct pci_sysdata sysdata;	/* what pci_domain_nr() reads on x86 */
	struct resource numbers;
	struct pci_bus *bus;
	struct pci_dev *parent;
	struct pci_dev *sriov[8];
	unsigned int sriov_count;
};

static DEFINE_MUTEX(lock);
static DEFINE_XARRAY(functions);
static LIST_HEAD(bridges);
static struct dentry *folder;

static unsigned long place(u32 domain, u8 bus, u8 devfn)
{
	return (unsigned long)domain << 16 | bus << 8 | devfn;
}

static struct p2ptree_function *find(struct pci_bus *bus, unsigned int devfn, int where, int size)
{
	if (where < 0 || where + size > SPACE)
		return NULL;
	return xa_load(&functions, place(pci_domain_nr(bus), bus->number, devfn));
}

static int read_config(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *value)
{
	struct p2ptree_function *function = find(bus, devfn, where, size);

	*value = ~0u;
	if (!function)
		return PCIBIOS_DEVICE_NOT_FOUND;
	*value = 0;
	memcpy(value, function->space + where, size);
	return PCIBIOS_SUCCESSFUL;
}

static int write_config(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 value)
{
	struct p2ptree_function *function = find(bus, devfn, where, size);
	int i;

	if (!function)
		return PCIBIOS_DEVICE_NOT_FOUND;
	for (i = 0; i < size; i++) {
		u8 mask = function->writable[where + i];
		u8 *byte = &function->space[where + i];

		*byte = (*byte & ~mask) | (value >> 8 * i & mask);
	}
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops operations = { .read = read_config, .write = write_config };

/* The function at "DDDD:BB:DD.F", with a reference; NULL where there is none. */
static struct pci_dev *named(const char *text)
{
	unsigned int domain, bus, device, function;

	if (sscanf(text, "%x:%x:%x.%x", &domain, &bus, &device, &function) != 4)
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(device, function));
}

static void remove_bridge(struct bridge *bridge)
{
	while (bridge->sriov_count) {
		struct pci_dev *function = bridge->sriov[--bridge->sriov_count];

		pci_disable_sriov(function);
		pci_dev_put(function);
	}
	pci_lock_rescan_remove();
	pci_stop_root_bus(bridge->bus);
	pci_remove_root_bus(bridge->bus);
	pci_unlock_rescan_remove();
	pci_dev_put(bridge->parent);
	list_del(&bridge->list);
	kfree(bridge);
}

static void clear(void)
{
	struct p2ptree_function *function;
	unsigned long index;

	while (!list_empty(&bridges))
		remove_bridge(list_last_entry(&bridges, struct bridge, list));
	xa_for_each(&functions, index, function) {
		xa_erase(&functions, index);
		kfree(function);
	}
}

static ssize_t function_write(struct file *file, const char __user *from, size_t count, loff_t *offset)
{
	struct p2ptree_function *function;
	int result;

	if (count != sizeof(*function))
		return -EINVAL;
	function = memdup_user(from, count);
	if (IS_ERR(function))
		return PTR_ERR(function);
	guard(mutex)(&lock);
	result = xa_insert(&functions, place(function->domain, function->bus, function->devfn), function, GFP_KERNEL);
	if (result)
		kfree(function);
	return result ? result : count;
}

static int add_bridge(const char *text)
{
	unsigned int domain, first, last;
	struct bridge *bridge;
	char parent[24] = "";
	LIST_HEAD(windows);

	if (sscanf(text, "%x %x %x %23s", &domain, &first, &last, parent) < 3 || first > last || last > 255)
		return -EINVAL;
	bridge = kzalloc(sizeof(*bridge), GFP_KERNEL);
	if (!bridge)
		return -ENOMEM;
	if (parent[0]) {
		bridge->parent = named(parent);
		if (!bridge->parent) {
			kfree(bridge);
			return -ENODEV;
		}
	}
	bridge->sysdata.domain = domain;
	bridge->sysdata.node = NUMA_NO_NODE;
	bridge->numbers = (struct resource)DEFINE_RES_NAMED(first, last - first + 1, "p2ptree", IORESOURCE_BUS);
	pci_add_resource(&windows, &bridge->numbers);
	pci_lock_rescan_remove();
	bridge->bus = pci_scan_root_bus(bridge->parent ? &bridge->parent->dev : NULL, first, &operations,
					&bridge->sysdata, &windows);
	if (bridge->bus)
		pci_bus_add_devices(bridge->bus);
	pci_unlock_rescan_remove();
	if (!bridge->bus) {
		pci_free_resource_list(&windows);
		pci_dev_put(bridge->parent);
		kfree(bridge);
		return -EIO;
	}
	list_add_tail(&bridge->list, &bridges);
	return 0;
}

static int add_sriov(const char *text)
{
	char name[24];
	unsigned int count;
	struct pci_dev *function;
	struct bridge *bridge;
	int result;

	if (sscanf(text, "%23s %u", name, &count) != 2)
		return -EINVAL;
	function = named(name);
	if (!function)
		return -ENODEV;
	list_for_each_entry(bridge, &bridges, list) {
		if (pci_find_host_bridge(function->bus)->bus != bridge->bus)
			continue;
		if (bridge->sriov_count == ARRAY_SIZE(bridge->sriov))
			break;
		result = pci_enable_sriov(function, count);
		if (result)
			pci_dev_put(function);
		else
			bridge->sriov[bridge->sriov_count++] = function;
		return result;
	}
	pci_dev_put(function);
	return -EINVAL;
}

static int ask(const char *text)
{
	char names[2][24];
	struct pci_dev *provider, *client;
	struct device *device;
	int result = -ENODEV;

	if (sscanf(text, "%23s %23s", names[0], names[1]) != 2)
		return -EINVAL;
	provider = named(names[0]);
	client = named(names[1]);
	if (provider && client) {
		device = &client->dev;
		result = pci_p2pdma_distance_many(provider, &device, 1, true) < 0 ? -EINVAL : 0;
	}
	pci_dev_put(provider);
	pci_dev_put(client);
	return result;
}

static int clear_all(const char *text)
{
	clear();
	return 0;
}

static ssize_t text_write(struct file *file, const char __user *from, size_t count, loff_t *offset)
{
	int (*call)(const char *text) = file_inode(file)->i_private;
	char text[96];
	int result;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, from, count))
		return -EFAULT;
	text[count] = 0;
	guard(mutex)(&lock);
	result = call(text);
	return result ? result : count;
}

static const struct file_operations function_file = { .owner = THIS_MODULE, .write = function_write };
static const struct file_operations text_file = { .owner = THIS_MODULE, .write = text_write };

static int __init p2ptree_init(void)
{
	folder = debugfs_create_dir("p2ptree", NULL);
	debugfs_create_file("function", 0200, folder, NULL, &function_file);
	debugfs_create_file("bridge", 0200, folder, add_bridge, &text_file);
	debugfs_create_file("sriov", 0200, folder, add_sriov, &text_file);
	debugfs_create_file("ask", 0200, folder, ask, &text_file);
	debugfs_create_file("clear", 0200, folder, clear_all, &text_file);
	return 0;
}

static void __exit p2ptree_exit(void)
{
	debugfs_remove(folder);
	clear();
}

module_init(p2ptree_init);
module_exit(p2ptree_exit);
MODULE_DESCRIPTION("PCI trees in memory, to ask for peer-to-peer routes in");
MODULE_LICENSE("GPL");
