// SPDX-License-Identifier: GPL-2.0
/*
 * Has the kernel's NVMe over Fabrics target take a PCI function for the NIC that a host has connected by.
 *
 * The target decides about p2pmem when a host connects: its transport names the device that does the DMA, and none for
 * Soft-RoCE. Nobody here has an RDMA NIC on PCI that the target's transport can use, so a probe on the target's own
 * function (drivers/nvme/target/core.c, nvmet_alloc_ctrl) puts the function in. All that follows is the kernel's: which
 * p2pmem it takes, if any, and each allocation. Parameters, in /sys/module/nvmet_client/parameters:
 *
 *   client     DDDD:BB:DD.F, or nothing: for hosts that connect from now on
 *   taken      what was allocated since the last reading: a line for each provider, "DDDD:BB:DD.F COUNT BYTES", and how
 *              many allocations failed, "failed COUNT"
 */
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/spinlock.h>

#define PROVIDERS 64

/* The first part of struct nvmet_alloc_ctrl_args, as Linux 7.3 has it. */
struct alloc_ctrl_args {
	void *port;
	void *sq;
	char *subsysnqn;
	char *hostnqn;
	void *hostid;
	const void *ops;
	struct device *p2p_client;
	u32 kato;
};

struct request {
	struct pci_dev *provider;
	u32 length;
};

static DEFINE_MUTEX(lock);
static struct pci_dev *client;

static DEFINE_SPINLOCK(count_lock);
static struct {
	char name[16];
	u64 count, bytes;
} taken[PROVIDERS];
static u64 failed;

static int on_connect(struct kprobe *probe, struct pt_regs *regs)
{
	struct alloc_ctrl_args *args = (void *)regs_get_kernel_argument(regs, 0);
	struct pci_dev *function = READ_ONCE(client);

	/* A device of the transport's own would be what the target is to be asked about. */
	if (function && !args->p2p_client)
		args->p2p_client = &function->dev;
	return 0;
}

static struct kprobe connect_probe = {
	.symbol_name = "nvmet_alloc_ctrl",
	.pre_handler = on_connect,
};

static int on_request(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct request *request = (void *)instance->data;

	request->provider = (void *)regs_get_kernel_argument(regs, 0);
	request->length = regs_get_kernel_argument(regs, 2);
	return 0;
}

static int on_return(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct request *request = (void *)instance->data;
	const char *name = pci_name(request->provider);
	unsigned long flags;
	int i;

	spin_lock_irqsave(&count_lock, flags);
	if (!regs_return_value(regs)) {
		failed++;
	} else {
		for (i = 0; i < PROVIDERS; i++) {
			if (!taken[i].name[0])
				strscpy(taken[i].name, name, sizeof(taken[i].name));
			if (!strcmp(taken[i].name, name)) {
				taken[i].count++;
				taken[i].bytes += request->length;
				break;
			}
		}
	}
	spin_unlock_irqrestore(&count_lock, flags);
	return 0;
}

static struct kretprobe request_probe = {
	.kp.symbol_name = "pci_p2pmem_alloc_sgl",
	.entry_handler = on_request,
	.handler = on_return,
	.data_size = sizeof(struct request),
	.maxactive = 64,
};

static int set_client(const char *text, const struct kernel_param *parameter)
{
	unsigned int domain, bus, slot, function;
	struct pci_dev *found = NULL, *before;

	if (text[0] && text[0] != '\n') {
		if (sscanf(text, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
			return -EINVAL;
		found = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
		if (!found)
			return -ENODEV;
	}
	mutex_lock(&lock);
	before = client;
	WRITE_ONCE(client, found);
	mutex_unlock(&lock);
	pci_dev_put(before);
	return 0;
}

static int get_client(char *buffer, const struct kernel_param *parameter)
{
	struct pci_dev *function = READ_ONCE(client);

	return sysfs_emit(buffer, "%s\n", function ? pci_name(function) : "");
}

static const struct kernel_param_ops client_ops = { .set = set_client, .get = get_client };
module_param_cb(client, &client_ops, NULL, 0600);

static int get_taken(char *buffer, const struct kernel_param *parameter)
{
	unsigned long flags;
	int length, i;

	spin_lock_irqsave(&count_lock, flags);
	length = sysfs_emit(buffer, "failed %llu\n", failed);
	for (i = 0; i < PROVIDERS && taken[i].name[0]; i++)
		length += sysfs_emit_at(buffer, length, "%s %llu %llu\n", taken[i].name, taken[i].count, taken[i].bytes);
	memset(taken, 0, sizeof(taken));
	failed = 0;
	spin_unlock_irqrestore(&count_lock, flags);
	return length;
}

static const struct kernel_param_ops taken_ops = { .get = get_taken };
module_param_cb(taken, &taken_ops, NULL, 0400);

static int __init nvmet_client_init(void)
{
	int error = register_kprobe(&connect_probe);

	if (error)
		return error;
	error = register_kretprobe(&request_probe);
	if (error)
		unregister_kprobe(&connect_probe);
	return error;
}

static void __exit nvmet_client_exit(void)
{
	unregister_kretprobe(&request_probe);
	unregister_kprobe(&connect_probe);
	pci_dev_put(client);
}

module_init(nvmet_client_init);
module_exit(nvmet_client_exit);
MODULE_DESCRIPTION("Names the NIC to the NVMe over Fabrics target, for tests");
MODULE_LICENSE("GPL");
