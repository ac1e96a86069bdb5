SUMMARY = "ONNX Runtime, as its makers build it"
DESCRIPTION = "The shared library out of the makers' own wheel, the same file that scripts/setup.sh pins for Debian."
HOMEPAGE = "https://onnxruntime.ai/"
BUGTRACKER = "https://github.com/microsoft/onnxruntime/issues"
SECTION = "libs"
CVE_PRODUCT = "microsoft:onnxruntime"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://onnxruntime/LICENSE;md5=0f7e3b1308cb5c00b372a6e78835732d"

# Where the wheels lie: a folder on the build machine (file:///srv/wheels) or a mirror of the site's own.
# docs/yocto.md has the command that brings both.
ONNXRUNTIME_WHEELS ?= ""
WHEEL = "onnxruntime-${PV}-cp312-cp312-manylinux_2_28_${TARGET_ARCH}.whl"
WHEEL_SHA256:aarch64 = "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc"
WHEEL_SHA256:x86-64 = "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536"

SRC_URI = "${ONNXRUNTIME_WHEELS}/${WHEEL};unpack=0"
SRC_URI[sha256sum] = "${WHEEL_SHA256}"

S = "${UNPACKDIR}"

COMPATIBLE_HOST = "(aarch64|x86_64).*-linux"
COMPATIBLE_HOST:libc-musl = "null"

INHIBIT_PACKAGE_STRIP = "1"
INHIBIT_SYSROOT_STRIP = "1"
INHIBIT_PACKAGE_DEBUG_SPLIT = "1"

# nooelint: oelint.task.noanonpython - said while parsing, not after an hour of building
python () {
    if not d.getVar('ONNXRUNTIME_WHEELS'):
        raise bb.parse.SkipRecipe('ONNXRUNTIME_WHEELS is not set: the folder or mirror with ' + d.getVar('WHEEL'))
}

# bitbake checks no digest of a local file, so this one is checked here whatever it came by.
python unpack_wheel() {
    import hashlib
    import os
    import zipfile

    wheel = os.path.join(d.getVar('UNPACKDIR'), d.getVar('ONNXRUNTIME_WHEELS').removeprefix('file:///'), d.getVar('WHEEL'))
    if not os.path.exists(wheel):
        wheel = os.path.join(d.getVar('UNPACKDIR'), d.getVar('WHEEL'))
    with open(wheel, 'rb') as file:
        got = hashlib.sha256(file.read()).hexdigest()
    if got != d.getVar('WHEEL_SHA256'):
        bb.fatal('%s has sha256 %s, %s is pinned: it was changed on its way' % (wheel, got, d.getVar('WHEEL_SHA256')))
    names = ['LICENSE', 'ThirdPartyNotices.txt', 'capi/libonnxruntime.so.' + d.getVar('PV')]
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            archive.extract('onnxruntime/' + name, d.getVar('S'))
}
unpack_wheel[doc] = "Holds the wheel to its digest and takes the library and its licences out of it"
do_unpack[postfuncs] += "unpack_wheel"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

# One of the folders that the daemon looks in by itself.
do_install() {
    install -d ${D}${nonarch_libdir}/watchpost ${D}${datadir}/licenses/onnxruntime
    install -m 0755 ${S}/onnxruntime/capi/libonnxruntime.so.${PV} ${D}${nonarch_libdir}/watchpost/
    install -m 0644 ${S}/onnxruntime/LICENSE ${S}/onnxruntime/ThirdPartyNotices.txt ${D}${datadir}/licenses/onnxruntime/
}

FILES:${PN} += "${nonarch_libdir}/watchpost ${datadir}/licenses/onnxruntime"
# Loaded by name at run time, and linked by its makers with their own flags.
# nooelint: oelint.vars.insaneskip - nothing here is compiled
INSANE_SKIP:${PN} += "already-stripped ldflags libdir"
SOLIBS = ""
FILES_SOLIBSDEV = ""
