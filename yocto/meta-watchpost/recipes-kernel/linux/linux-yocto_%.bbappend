FILESEXTRAPATHS:prepend:watchpost-os := "${THISDIR}/files:"

SRC_URI:append:watchpost-os = " file://watchpost.cfg"
