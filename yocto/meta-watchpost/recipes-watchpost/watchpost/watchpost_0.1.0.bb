SUMMARY = "Edge video analytics: plates read at the camera, signed alerts"
DESCRIPTION = "Decodes camera streams, reads licence plates on the box, keeps what it may keep encrypted and sends signed alerts over MQTT."
SECTION = "multimedia"
# Of its own sources. The crates that are linked in are under the licences that deny.toml allows; the SBOM names each.
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "\
    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57 \
    file://LICENSE-MIT;md5=a2942b8dfc0fca58f8c27a82bbdc5292 \
"

# The sources: the tree that this layer lies in, or, where WATCHPOST_GIT is set ("git://...;protocol=https;branch=main"),
# that repository at WATCHPOST_REV.
WATCHPOST_TREE ?= "${@os.path.realpath(d.getVar('WATCHPOST_LAYERDIR') + '/../..')}"
WATCHPOST_GIT ?= ""
WATCHPOST_REV ?= "INVALID"
SRC_URI = "${WATCHPOST_GIT}"
SRCREV = "${WATCHPOST_REV}"

require watchpost-crates.inc

inherit cargo externalsrc pkgconfig systemd useradd

EXTERNALSRC = "${@'' if d.getVar('WATCHPOST_GIT') else d.getVar('WATCHPOST_TREE')}"
EXTERNALSRC_BUILD = "${WORKDIR}/build"

# The registry's name for the crate fetcher, as Cargo.lock has it; a site with a registry of its own sets WATCHPOST_CRATES.
def watchpost_crates(d):
    import re
    lock = os.path.join(d.getVar('WATCHPOST_TREE'), 'Cargo.lock')
    bb.parse.mark_dependency(d, lock)
    if not os.path.exists(lock):
        return ''
    with open(lock) as file:
        found = re.search(r'^source = "registry\+.*/(.+?)-index"$', file.read(), re.MULTILINE)
    return found.group(1) if found else ''

WATCHPOST_CRATES ?= "${@watchpost_crates(d)}"

# nooelint: oelint.task.noanonpython - a recipe without its registry is skipped, and bitbake says why
python () {
    if not d.getVar('WATCHPOST_CRATES'):
        raise bb.parse.SkipRecipe("no Cargo.lock in %s to take the crates' registry from: set WATCHPOST_TREE to the "
                                  "project's folder, or WATCHPOST_CRATES to the registry" % d.getVar('WATCHPOST_TREE'))
}

# The features of Cargo.toml. Without opencv the daemon rectifies plates by its own sampling, which a test holds to OpenCV's
# picture: OpenCV would bring Python, its contrib modules and a build of clang into this layer for the same result.
PACKAGECONFIG ??= "gst onnx"
PACKAGECONFIG[gst] = "--features gst,,glib-2.0 gstreamer1.0 gstreamer1.0-plugins-base,${WATCHPOST_ELEMENTS}"
PACKAGECONFIG[onnx] = "--features onnx,,,onnxruntime-bin"
PACKAGECONFIG[opencv] = "--features opencv,,opencv clang-native"
# Decoding by hardware: stateless V4L2 and VA-API (the stateful kind of V4L2 is among the elements below). Both want the same
# of gstreamer1.0-plugins-bad, which does not build them by itself; the appliance's distribution sets all four.
PACKAGECONFIG[v4l2codecs] = ",,,gstreamer1.0-plugins-bad-v4l2codecs"
PACKAGECONFIG[va] = ",,,gstreamer1.0-plugins-bad-va"

# The packages that hold the elements of pipelines/README.md but for the hardware's; glib-networking gives TLS for rtsps cameras.
WATCHPOST_ELEMENTS = "\
    glib-networking \
    gstreamer1.0-libav \
    gstreamer1.0-plugins-bad-jpegformat \
    gstreamer1.0-plugins-bad-mpegtsdemux \
    gstreamer1.0-plugins-bad-videoparsersbad \
    gstreamer1.0-plugins-base-app \
    gstreamer1.0-plugins-base-videoconvertscale \
    gstreamer1.0-plugins-base-videotestsrc \
    gstreamer1.0-plugins-good-avi \
    gstreamer1.0-plugins-good-isomp4 \
    gstreamer1.0-plugins-good-jpeg \
    gstreamer1.0-plugins-good-matroska \
    gstreamer1.0-plugins-good-rtp \
    gstreamer1.0-plugins-good-rtpmanager \
    gstreamer1.0-plugins-good-rtsp \
    gstreamer1.0-plugins-good-udp \
    gstreamer1.0-plugins-good-video4linux2 \
"

CARGO_BUILD_FLAGS:append = " --no-default-features --bins"

# What reads OpenCV's headers runs on the build machine and looks at the target's files.
export LIBCLANG_PATH = "${STAGING_LIBDIR_NATIVE}"
export OPENCV_CLANG_ARGS = "--target=${TARGET_SYS} --sysroot=${STAGING_DIR_TARGET}"

do_install() {
    target="${B}/target/${CARGO_TARGET_SUBDIR}"
    install -d ${D}${bindir}
    install -m 0755 $target/watchpost $target/watchpostctl ${D}${bindir}/

    for model in plates-1 reader-1 objects-1 corners-1; do
        install -d ${D}${datadir}/watchpost/models/$model
        install -m 0644 ${S}/models/$model/* ${D}${datadir}/watchpost/models/$model/
    done

    install -d ${D}${systemd_system_unitdir} ${D}${nonarch_libdir}/sysusers.d ${D}${nonarch_libdir}/tmpfiles.d ${D}${nonarch_libdir}/watchpost
    install -m 0755 ${S}/systemd/firstboot ${D}${nonarch_libdir}/watchpost/
    install -m 0644 ${S}/systemd/watchpost.service ${S}/systemd/watchpost-firstboot.service ${D}${systemd_system_unitdir}/
    install -m 0644 ${S}/systemd/sysusers.d/watchpost.conf ${D}${nonarch_libdir}/sysusers.d/
    install -m 0644 ${S}/systemd/tmpfiles.d/watchpost.conf ${D}${nonarch_libdir}/tmpfiles.d/
}

PACKAGES =+ "${PN}-ctl ${PN}-models"

FILES:${PN} += "\
    ${nonarch_libdir}/sysusers.d \
    ${nonarch_libdir}/tmpfiles.d \
    ${nonarch_libdir}/watchpost \
    ${systemd_system_unitdir} \
"
FILES:${PN}-ctl += "${bindir}/watchpostctl"
FILES:${PN}-models += "${datadir}/watchpost/models"

# The first boot seals and compares keys by programs of coreutils, diffutils and systemd's extras.
RDEPENDS:${PN} += "\
    ${PN}-models \
    coreutils \
    diffutils \
    systemd-extra-utils \
"

SYSTEMD_SERVICE:${PN} = "watchpost.service watchpost-firstboot.service"

# Numbers that never change: files on the data partition outlive the image that made them.
USERADD_PACKAGES = "${PN}"
# The group of render nodes is udev's: made here as well, since a user can't join one that comes later.
GROUPADD_PARAM:${PN} = "--system --gid 790 watchpost; --system render"
USERADD_PARAM:${PN} = "--system --uid 790 --gid 790 --groups video,render --home-dir ${localstatedir}/lib/watchpost --no-create-home --shell ${base_sbindir}/nologin watchpost"
