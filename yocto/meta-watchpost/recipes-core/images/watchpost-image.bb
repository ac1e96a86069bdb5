SUMMARY = "The appliance: a read-only system in two slots, and a data partition"
DESCRIPTION = "Boots by EFI and GRUB, runs Watchpost, is updated by RAUC. Root's password is locked; SSH is there for the keys of WATCHPOST_SSH_KEYS alone."
SECTION = "base"
LICENSE = "MIT"

inherit core-image

IMAGE_FEATURES = "read-only-rootfs ${@'ssh-server-openssh' if d.getVar('WATCHPOST_SSH_KEYS') else ''}"
IMAGE_INSTALL = "\
    ca-certificates \
    e2fsprogs \
    grub-editenv \
    kernel-image \
    kernel-modules \
    packagegroup-core-boot \
    rauc \
    tzdata-core \
    util-linux-blkid \
    watchpost \
    watchpost-appliance \
"
IMAGE_LINGUAS = ""

# The whole disk for a new box; the root file system alone for a bundle.
IMAGE_FSTYPES = "ext4 wic.bmap wic.zst"
WKS_FILE = "watchpost.wks.in"
IMAGE_BOOT_FILES = "grubenv"
do_image_wic[depends] += "\
    dosfstools-native:do_populate_sysroot \
    grub-efi:do_deploy \
    mtools-native:do_populate_sysroot \
    watchpost-grubenv:do_deploy \
"

# Too large for a slot is an error of the build, not of an update on a pole.
IMAGE_ROOTFS_MAXSIZE = "${@int(d.getVar('WATCHPOST_SLOT_MIB')) * 1024}"
IMAGE_OVERHEAD_FACTOR = "1.05"
# A bundle is hashed by blocks of 4 KiB.
IMAGE_ROOTFS_ALIGNMENT = "4"

# A machine whose kernel finds its disk by modules brings an initramfs; it belongs to the slot, as the kernel does.
INITRAMFS_IMAGE ?= ""
INITRAMFS_NAME = "${INITRAMFS_IMAGE}-${MACHINE}.${@(d.getVar('INITRAMFS_FSTYPES') or '').split()[0]}"
do_rootfs[depends] += "${@'${INITRAMFS_IMAGE}:do_image_complete' if d.getVar('INITRAMFS_IMAGE') else ''}"
copy_initramfs() {
    if [ -n "${INITRAMFS_IMAGE}" ]; then
        install -m 0644 ${DEPLOY_DIR_IMAGE}/${INITRAMFS_NAME} ${IMAGE_ROOTFS}/boot/initrd
    fi
}
ROOTFS_POSTPROCESS_COMMAND += "copy_initramfs"

# A file of public keys that may log in as root, to install updates; without it nobody can, and no SSH is installed.
WATCHPOST_SSH_KEYS ?= ""
do_rootfs[file-checksums] += "${@d.getVar('WATCHPOST_SSH_KEYS') + ':True' if d.getVar('WATCHPOST_SSH_KEYS') else ''}"
copy_ssh_keys() {
    if [ -n "${WATCHPOST_SSH_KEYS}" ]; then
        install -d -m 0700 ${IMAGE_ROOTFS}${ROOT_HOME}/.ssh
        install -m 0600 ${WATCHPOST_SSH_KEYS} ${IMAGE_ROOTFS}${ROOT_HOME}/.ssh/authorized_keys
    fi
}
copy_ssh_keys[doc] = "Lets the keys of WATCHPOST_SSH_KEYS in"
ROOTFS_POSTPROCESS_COMMAND += "copy_ssh_keys"

# nooelint: oelint.task.noanonpython - another distribution would give an image that never starts
python () {
    if d.getVar('DISTRO') != 'watchpost-os':
        raise bb.parse.SkipRecipe('the appliance is built with DISTRO = "watchpost-os"')
}
