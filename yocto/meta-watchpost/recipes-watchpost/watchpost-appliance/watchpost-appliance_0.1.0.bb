SUMMARY = "Data partition, limits and the trial of an update"
DESCRIPTION = "Mounts of the data partition, limits of the journal, the hardware watchdog, and the units that call an update good or go back."
SECTION = "base"
LICENSE = "MIT | Apache-2.0"
# nooelint: oelint.var.licenseremotefile - the layer's own files, and the texts are OpenEmbedded's
LIC_FILES_CHKSUM = "\
    file://${COREBASE}/meta/files/common-licenses/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302 \
    file://${COREBASE}/meta/files/common-licenses/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10 \
"

SRC_URI = "\
    file://boot-check \
    file://boot-env.mount \
    file://data.mount \
    file://etc-credstore.encrypted.mount \
    file://etc-systemd-network.mount \
    file://etc-watchpost.mount \
    file://journald.conf \
    file://slot-trial \
    file://system.conf \
    file://tmpfiles.conf \
    file://var-lib-systemd.mount \
    file://var-lib-watchpost.mount \
    file://var-log.mount \
    file://watchpost-boot-check.service \
    file://watchpost-data.service \
    file://watchpost-trial-over.service \
"

S = "${UNPACKDIR}"

inherit features_check systemd

REQUIRED_DISTRO_FEATURES = "systemd"

APPLIANCE_UNITS = "\
    boot-env.mount \
    data.mount \
    etc-credstore.encrypted.mount \
    etc-systemd-network.mount \
    etc-watchpost.mount \
    var-lib-systemd.mount \
    var-lib-watchpost.mount \
    var-log.mount \
    watchpost-boot-check.service \
    watchpost-data.service \
    watchpost-trial-over.service \
"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${systemd_system_unitdir} ${D}${libexecdir}/watchpost-appliance
    for unit in ${APPLIANCE_UNITS}; do
        install -m 0644 ${S}/$unit ${D}${systemd_system_unitdir}/
    done
    install -m 0755 ${S}/boot-check ${S}/slot-trial ${D}${libexecdir}/watchpost-appliance/

    install -D -m 0644 ${S}/journald.conf ${D}${nonarch_libdir}/systemd/journald.conf.d/50-watchpost.conf
    install -D -m 0644 ${S}/system.conf ${D}${nonarch_libdir}/systemd/system.conf.d/50-watchpost.conf
    install -D -m 0644 ${S}/tmpfiles.conf ${D}${nonarch_libdir}/tmpfiles.d/watchpost-appliance.conf

    # Where the data partition is mounted: a read-only root can't make folders later.
    install -d ${D}/data ${D}/boot/env ${D}${sysconfdir}/default ${D}${sysconfdir}/watchpost ${D}${sysconfdir}/credstore.encrypted ${D}${sysconfdir}/systemd/network
    # Site, name and sealing of a new box (docs/install.md), where they can be written.
    ln -s ../watchpost/default ${D}${sysconfdir}/default/watchpost
}

FILES:${PN} += "\
    /boot/env \
    /data \
    ${libexecdir}/watchpost-appliance \
    ${nonarch_libdir}/systemd \
    ${nonarch_libdir}/tmpfiles.d \
"

RDEPENDS:${PN} = "e2fsprogs-e2fsck rauc watchpost"

SYSTEMD_SERVICE:${PN} = "${APPLIANCE_UNITS}"
