#!/bin/sh
# The first process of the emulated machine: it mounts what a host has, and hands over to guest.py.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
while read -r module; do
    insmod "/modules/$module"
done </modules/order
mkswap /dev/vda >/dev/null && swapon /dev/vda
echo 8 >/proc/sys/vm/nr_hugepages
stty -F /dev/ttyS1 raw -echo
export PYTHONPATH=/site:/lab/tests PYTHONDONTWRITEBYTECODE=1
python3 -m kernel.guest "$LAB" >/dev/ttyS1
poweroff -f
