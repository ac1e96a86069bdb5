FILESEXTRAPATHS:prepend:watchpost-os := "${THISDIR}/files:"

do_install:append:watchpost-os() {
    sed -i -e 's/@MACHINE@/${MACHINE}/' ${D}${nonarch_libdir}/rauc/system.conf
    # An example's certificate, or none, would let anybody or nobody update the fleet.
    grep -q 'BEGIN CERTIFICATE' ${D}${nonarch_libdir}/rauc/ca.cert.pem ||
        bbfatal "RAUC_KEYRING_FILE must name a ca.cert.pem of your own: see docs/yocto.md"
}

PACKAGE_ARCH:watchpost-os = "${MACHINE_ARCH}"
