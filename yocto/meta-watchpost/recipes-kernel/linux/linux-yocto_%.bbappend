FILESEXTRAPATHS:prepend:watchpost := "${THISDIR}/files:"

SRC_URI:append:watchpost = " file://watchpost.cfg"
