//! Frames in, sightings out: detect, track, rectify, read, fuse.
