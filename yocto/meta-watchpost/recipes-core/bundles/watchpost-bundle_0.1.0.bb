SUMMARY = "The update of a box: one signed RAUC bundle with the root file system"
DESCRIPTION = "Kernel, root file system, models and daemon in one image, which RAUC writes into the slot that does not run."
SECTION = "base"
LICENSE = "MIT | Apache-2.0"
# nooelint: oelint.var.licenseremotefile - the layer's own files, and the texts are OpenEmbedded's
LIC_FILES_CHKSUM = "\
    file://${COREBASE}/meta/files/common-licenses/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302 \
    file://${COREBASE}/meta/files/common-licenses/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10 \
"

SRC_URI = ""

inherit bundle

RAUC_BUNDLE_COMPATIBLE = "watchpost-${MACHINE}"
RAUC_BUNDLE_VERSION = "${DISTRO_VERSION}"
RAUC_BUNDLE_FORMAT = "verity"
RAUC_BUNDLE_SLOTS = "rootfs"
RAUC_SLOT_rootfs = "watchpost-image"
RAUC_SLOT_rootfs[fstype] = "ext4"

# Keys are the builder's: none lies in this layer.
# nooelint: oelint.task.noanonpython - said while parsing, not after an hour of building
python () {
    for name in ('RAUC_KEY_FILE', 'RAUC_CERT_FILE'):
        if not d.getVar(name):
            raise bb.parse.SkipRecipe(name + ' is not set: bundles are signed by a key of your own (docs/yocto.md)')
}
