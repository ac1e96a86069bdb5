SUMMARY = "GRUB's environment block as a new box has it"
DESCRIPTION = "1024 bytes with the order of slots: slot A is good, slot B is empty."
SECTION = "bootloaders"
LICENSE = "MIT | Apache-2.0"
# nooelint: oelint.var.licenseremotefile - the layer's own files, and the texts are OpenEmbedded's
LIC_FILES_CHKSUM = "\
    file://${COREBASE}/meta/files/common-licenses/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302 \
    file://${COREBASE}/meta/files/common-licenses/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10 \
"

SRC_URI = ""

INHIBIT_DEFAULT_DEPS = "1"

inherit deploy nopackages

do_configure[noexec] = "1"
do_install[noexec] = "1"

# The format of grub-editenv: a first line that names it, variables, and '#' up to 1024 bytes. GRUB rewrites it in place and
# never makes it longer.
python do_compile() {
    import os
    block = '# GRUB Environment Block\nORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=0\nB_TRY=0\n'
    with open(os.path.join(d.getVar('B'), 'grubenv'), 'w') as file:
        file.write(block.ljust(1024, '#'))
}

do_deploy() {
    install -m 0644 ${B}/grubenv ${DEPLOYDIR}/grubenv
}
addtask deploy after do_compile before do_build
