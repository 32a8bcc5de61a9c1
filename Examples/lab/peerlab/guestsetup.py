# SPDX-License-Identifier: Apache-2.0
"""The script that the guest's agent runs before it says that it is ready."""
import shlex

NETWORK = "10.77.0"

_SHARE = """\
share() {
    mkdir -p "$2"
    mount -t 9p -o "trans=virtio,version=9p2000.L,msize=262144,cache=$3" "$1" "$2"
}
"""

_VETH = """\
modprobe veth
ip link add eth0 type veth peer name eth1
ip link set eth1 mtu {mtu} up
"""

# Without udev nothing renames the card: it is eth0.
_NETWORK = """\
ip link set lo up
ip link set eth0 mtu {mtu} up
ip addr add {address}/24 dev eth0
"""

# The last wait is for the GID that RDMA connections over IPv4 use.
_RDMA = """\
modprobe -a rdma_rxe ib_uverbs rdma_ucm
rdma link add rxe0 type rxe netdev eth0
gid=0000:0000:0000:0000:0000:ffff:{gid}
for _ in $(seq 100); do
    grep -qs $gid /sys/class/infiniband/rxe0/ports/1/gids/* && break
    sleep 0.1
done
grep -q $gid /sys/class/infiniband/rxe0/ports/1/gids/*
"""


_LABHCA = """\
modprobe ib_uverbs
mkdir -p /etc/libibverbs.d /opt/labhca
cp /run/lab/exchange/labhca/* /opt/labhca
echo driver /opt/labhca/liblabhca > /etc/libibverbs.d/labhca.driver
insmod /opt/labhca/labhca.ko
"""


def address(number):
    """The address of host `number`, counted from 1."""
    return f"{NETWORK}.{number}"


def script(spec, number, joined, shares):
    """The set-up of `spec` as host `number`; `shares` holds (tag, path, writable)."""
    lines = ["set -e\n", f"hostname {shlex.quote(spec.name)}\n",
             f"echo '127.0.0.1 localhost {spec.name}' > /etc/hosts\n", _SHARE]
    for tag, path, writable in shares:
        mode = "none" if writable else "loose,ro"
        lines.append(f"share {tag} {shlex.quote(str(path))} {mode}\n")
    if spec.modules:
        lines.append(f"modprobe -a {shlex.join(spec.modules)}\n")
    if spec.labhca:
        lines.append(_LABHCA)
    if spec.engines:
        lines.append("cp /run/lab/exchange/engines/* /usr/local/bin\n")
    if joined or spec.rdma:
        lines.append("modprobe virtio_net\n" if joined else _VETH.format(mtu=spec.mtu))
        lines.append(_NETWORK.format(mtu=spec.mtu, address=address(number)))
    if spec.rdma:
        octets = [int(part) for part in address(number).split(".")]
        lines.append(_RDMA.format(gid="{:02x}{:02x}:{:02x}{:02x}".format(*octets)))
    return "".join(lines)
