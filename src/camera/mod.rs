//! Sources of frames: opens, decodes, watches for stalls, backs off and reopens.
