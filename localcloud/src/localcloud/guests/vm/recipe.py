"""The content of a guest image: packages, files over them, and what is switched off at boot.

Values only; build.py applies them. The digest of these values names the image, so a change of them makes a new image.
docs/decisions/0003 explains what makes a difference at boot.
"""

import hashlib
import json

FORMAT = 1
SUITE = "trixie"
ARCHITECTURES = {"x86_64": ("amd64", "x86_64")}
"""Machine name as `uname -m` prints it: Debian's name, EC2's name."""
SIZE = "8G"
"""Apparent size of the root file system, the same as of Debian's image on EC2. Sparse."""

PACKAGES = """
adduser apt bzip2 ca-certificates cloud-init curl dbus dhcpcd-base e2fsprogs gzip iproute2 kmod less libnss-myhostname
linux-image-cloud-{debian} netbase openssl procps python3 python3-boto3 sudo systemd systemd-resolved
systemd-sysv tar tzdata udev unattended-upgrades unzip wget xz-utils
"""

_CLOUD = """\
# Only EC2's data source; no warning about others. The lists leave out what only a first boot of a disk image or a login
# needs: this root is whole, and there is no SSH server.
datasource_list: [Ec2]
datasource:
  Ec2:
    metadata_urls: ["http://169.254.169.254"]
    max_wait: 30
    timeout: 10
network: {config: disabled}
apt: {preserve_sources_list: true}
disable_root: true
preserve_hostname: false
manage_etc_hosts: false
mount_default_fields: [~, ~, auto, "defaults,nofail", "0", "2"]
users: [default]
locale: false
cloud_init_modules:
  [seed_random, bootcmd, write_files, disk_setup, mounts, set_hostname, update_hostname, update_etc_hosts, ca_certs, users_groups]
cloud_config_modules: [locale, set_passwords, apt_configure, timezone, ntp, runcmd]
cloud_final_modules:
  [package_update_upgrade_install, write_files_deferred, scripts_vendor, scripts_per_once, scripts_per_boot,
   scripts_per_instance, scripts_user, phone_home, final_message, power_state_change]
system_info:
  distro: debian
  default_user:
    name: admin
    lock_passwd: true
    gecos: Debian
    groups: [adm, sudo]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
  network: {renderers: [networkd], activators: [networkd]}
  paths: {cloud_dir: /var/lib/cloud/, templates_dir: /etc/cloud/templates/}
"""
_NETWORK = """\
[Match]
Name=en* eth*

[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no

[DHCPv4]
UseHostname=no
"""
_TRIGGER = """\
# The devices of these machines are few and known: asking the kernel for all of them again costs seconds without KVM.
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=subsystems --action=add
ExecStart=-udevadm trigger --type=devices --action=add --subsystem-match=net --subsystem-match=block --subsystem-match=input
"""

FILES = {
    "etc/cloud/cloud.cfg.d/99_localcloud.cfg": _CLOUD,
    "etc/cloud/ds-identify.cfg": "policy: enabled\n",
    "etc/fstab": "# The kernel is told its root; there is nothing else to mount.\n",
    "etc/hostname": "localhost\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    "etc/machine-id": "",
    "etc/modules-load.d/localcloud.conf": "virtio_pci\nvirtio_net\nvirtio_rng\npvpanic-pci\nbutton\nevdev\n",
    "etc/systemd/journald.conf.d/localcloud.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n",
    "etc/systemd/network/10-localcloud.network": _NETWORK,
    "etc/systemd/system/systemd-udev-trigger.service.d/localcloud.conf": _TRIGGER,
}
"""Path to text; owned by root, mode 0644."""

MASKED = """
unattended-upgrades.service dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
cloud-init-hotplugd.socket console-getty.service getty.target getty-static.service
dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount
sys-kernel-config.mount modprobe@.service systemd-pcrphase.service systemd-pstore.service
proc-sys-fs-binfmt_misc.automount systemd-binfmt.service systemd-journal-flush.service systemd-network-generator.service
systemd-networkd-persistent-storage.service systemd-random-seed.service systemd-remount-fs.service
systemd-udev-load-credentials.service
systemd-tmpfiles-clean.timer systemd-update-utmp.service
"""
"""Units that never start. Not among them, because jobs meet them on EC2 too: tmp.mount, which makes /tmp half of the memory,
and the timers of apt, which hold dpkg's lock while they run."""

SILENT_GENERATORS = "cryptsetup debug getty gpt-auto hibernate-resume integritysetup ssh system-update tpm2 veritysetup"
"""Generators that would find nothing in this image; each takes a process at boot."""

LEFT_OUT = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*", "/usr/share/info/*")
KEPT = ("/usr/share/doc/*/copyright", "/usr/share/man/man[1-9]")
"""Paths that dpkg does not unpack, and exceptions among them."""

FINISH = """\
set -eu
cd /
root=$1
chroot "$root" systemctl -q enable systemd-networkd.service systemd-networkd-wait-online.service systemd-resolved.service
# Lists of packages are out of date the day after; how this image was installed is no rule for what is installed later.
chroot "$root" apt-get clean
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/log/*.log "$root"/var/log/apt \\
  "$root"/boot/initrd* "$root"/etc/apt/apt.conf.d/00build \\
  "$root"/etc/dpkg/dpkg.cfg.d/99mmdebstrap "$root"/var/lib/dbus/machine-id "$root"/var/lib/systemd/random-seed
chroot "$root" python3 -c 'import sys; print("python %d.%d" % sys.version_info[:2])' >"/proc/self/fd/$FACTS"
chroot "$root" dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\\n' >>"/proc/self/fd/$FACTS"
kernel=$(ls "$root"/boot/vmlinuz-* | sort -V | tail -n 1)
echo "kernel ${kernel##*/vmlinuz-}" >>"/proc/self/fd/$FACTS"
cat "$kernel" >"/proc/self/fd/$KERNEL"
# What systemd brings up to date after a change of /usr is up to date already.
for place in etc var; do
  printf 'TIMESTAMP_NSEC=%s000000000\\n' "$(stat -c %Y "$root"/usr)" >"$root/$place/.updated"
  touch -r "$root"/usr "$root/$place/.updated"
done
# Seen through a bind mount of its own, the root shows no /proc, /sys or /dev of the machine that builds.
bare=$(mktemp -d)
aside=$(mktemp)
own="$root"/etc/apt/apt.conf.d/00mmdebstrap
mount --bind "$root" "$bare"
trap 'umount "$bare"; rmdir "$bare"; mv "$aside" "$own"' EXIT
mv "$own" "$aside"
rm -rf "$bare"/run/*
/sbin/mke2fs -q -F -t ext4 -L root -m 1 -J size=32 -d "$bare" "/proc/self/fd/$ROOT" "$SIZE"
"""
"""The last step of the build: $1 is the finished root; ROOT, KERNEL and FACTS are descriptors of the output files."""


def packages(debian: str) -> list[str]:
    """Return the requested packages for Debian's name of an architecture; their dependencies come with them."""
    return PACKAGES.format(debian=debian).split()


def links() -> dict[str, str]:
    """Return the symbolic links over the packages, path to target, mostly those that mask units."""
    units = {f"etc/systemd/system/{unit}": "/dev/null" for unit in MASKED.split()}
    generators = {
        f"etc/systemd/system-generators/systemd-{name}-generator": "/dev/null" for name in SILENT_GENERATORS.split()
    }
    return units | generators | {"etc/resolv.conf": "../run/systemd/resolve/resolv.conf"}


def digest() -> str:
    """Return the digest that names the image of this recipe: 16 hexadecimal digits."""
    whole = (FORMAT, SUITE, SIZE, PACKAGES, FILES, MASKED, SILENT_GENERATORS, LEFT_OUT, KEPT, FINISH)
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]
