//! Decoders of the hardware: which there are, which one `pipeline = "auto"` takes, and why.
//!
//! The choice is a plain function of what GStreamer has registered and of the device nodes that can be opened ([`choose`]);
//! what is there is looked at anew at each opening ([`Survey::now`]). Nothing is taken by itself that is not in
//! [`Api::AUTO`]: the others are texts for those who have such hardware, and name them.
//!
//! Whoever opens a camera goes through [`open`]: a decoder of the hardware that fails before it is proven is given up,
//! and the camera is decoded by software from there on (`fallback`). Called by [`super::open`] and `cli` (`check`); the worker is told
//! what was chosen, since behind its fence it can't look. Left out: kept pictures (clips, second looks), which are always decoded by software.

mod fallback;
mod nodes;
mod texts;

use std::collections::BTreeSet;

use gstreamer as gst;

pub(super) use fallback::open;
pub use fallback::{GivenUp, resolved};
pub use nodes::{Node, Nodes};
pub use texts::TEXTS;

use super::{SourceUri, pipeline};

/// What `pipeline` is at a camera whose decoder is to be chosen by what the machine has.
pub const AUTO: &str = "auto";

/// The codings that there are decode texts for.
pub const CODECS: [&str; 3] = ["h264", "h265", "mjpeg"];

/// How a decoder of the hardware is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    /// VA-API: graphics of Intel and AMD.
    VaApi,
    /// V4L2, where the driver parses the stream.
    V4l2,
    /// V4L2, where the driver is given each picture with its parameters (request API).
    V4l2Stateless,
    /// NVDEC of NVIDIA.
    Nvdec,
    /// Quick Sync Video of Intel.
    Qsv,
    /// Media Process Platform of Rockchip.
    Rockchip,
    /// For tests: fails on its first picture.
    #[cfg(feature = "testkit")]
    Broken,
}

impl Api {
    /// What `auto` may take, the first that is there.
    pub const AUTO: [Self; 3] = [Self::VaApi, Self::V4l2, Self::V4l2Stateless];

    /// All of them.
    const ALL: &[Self] = &[
        Self::VaApi,
        Self::V4l2,
        Self::V4l2Stateless,
        Self::Nvdec,
        Self::Qsv,
        Self::Rockchip,
        #[cfg(feature = "testkit")]
        Self::Broken,
    ];

    /// What the names of its texts end in.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::VaApi => "va",
            Self::V4l2 => "v4l2",
            Self::V4l2Stateless => "v4l2sl",
            Self::Nvdec => "nv",
            Self::Qsv => "qsv",
            Self::Rockchip => "mpp",
            #[cfg(feature = "testkit")]
            Self::Broken => "broken",
        }
    }

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VaApi => "VA-API",
            Self::V4l2 => "V4L2 (stateful)",
            Self::V4l2Stateless => "V4L2 (stateless)",
            Self::Nvdec => "NVDEC",
            Self::Qsv => "Quick Sync Video",
            Self::Rockchip => "Rockchip MPP",
            #[cfg(feature = "testkit")]
            Self::Broken => "a decoder that fails",
        }
    }

    /// The one that the embedded text `name` is for; `None`: it decodes by software, or is no such text.
    #[must_use]
    pub fn of_text(name: &str) -> Option<Self> {
        let (_, suffix) = name.rsplit_once('-')?;
        let is_text = TEXTS.iter().any(|(known, _)| *known == name);
        Self::ALL.iter().copied().find(|api| is_text && api.suffix() == suffix)
    }

    /// What the names of the device nodes begin with that it opens: a fence lets these through, and no others.
    #[must_use]
    pub const fn devices(self) -> &'static [&'static str] {
        match self {
            Self::VaApi | Self::Qsv => &["/dev/dri/renderD"],
            Self::V4l2 => &["/dev/video"],
            Self::V4l2Stateless => &["/dev/video", "/dev/media"],
            Self::Nvdec => &["/dev/nvidia"],
            Self::Rockchip => {
                &["/dev/mpp_service", "/dev/vpu", "/dev/hevc", "/dev/rkvdec", "/dev/rga", "/dev/dri", "/dev/dma_heap"]
            }
            #[cfg(feature = "testkit")]
            Self::Broken => &[],
        }
    }

    /// The elements that decode `codec`, of those that `auto` may take.
    fn elements(self, codec: &str) -> &'static [&'static str] {
        match (self, codec) {
            (Self::VaApi, "h264") => &["vah264dec"],
            (Self::VaApi, "h265") => &["vah265dec"],
            (Self::VaApi, "mjpeg") => &["vajpegdec", "vapostproc"],
            (Self::V4l2, "h264") => &["v4l2h264dec"],
            (Self::V4l2, "h265") => &["v4l2h265dec"],
            (Self::V4l2Stateless, "h264") => &["v4l2slh264dec"],
            (Self::V4l2Stateless, "h265") => &["v4l2slh265dec"],
            _ => &[],
        }
    }
}

/// What a machine has to decode with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// Elements that GStreamer has registered, of those that `auto` may take.
    pub elements: BTreeSet<String>,
    /// Device nodes.
    pub nodes: Nodes,
}

impl Survey {
    /// Of this machine, now. Nothing where GStreamer does not start.
    #[must_use]
    pub fn now() -> Self {
        if pipeline::init().is_err() {
            return Self::default();
        }
        let all = Api::AUTO.iter().flat_map(|api| CODECS.iter().flat_map(|codec| api.elements(codec)));
        let there = all.filter(|name| gst::ElementFactory::find(name).is_some());
        Self { elements: there.map(|name| (*name).to_owned()).collect(), nodes: Nodes::now() }
    }
}

/// Why a decoder of the hardware is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// GStreamer has no such element: no plugin, or no device that decodes this.
    Element(&'static str),
    /// There is no device node of this kind.
    Node(&'static str),
    /// There is one and this user may not open it; what the system says.
    Denied(Node),
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Element(name) => write!(f, "no element {name}"),
            Self::Node(kind) => write!(f, "no {kind}"),
            Self::Denied(Node { path, fault }) => {
                write!(f, "{} can't be opened ({})", path.display(), fault.as_deref().unwrap_or("no reason told"))
            }
        }
    }
}

/// What `auto` takes for a coding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The decode text.
    pub text: String,
    /// The hardware; `None`: software.
    pub api: Option<Api>,
    /// The device node, where hardware is taken.
    pub node: Option<Node>,
    /// Those before it in the order, and what each lacks.
    pub lacks: Vec<(Api, Lack)>,
}

/// The decode text for `family-codec` on a machine that has `survey`.
#[must_use]
pub fn choose(family: &str, codec: &str, survey: &Survey) -> Choice {
    let usual = format!("{family}-{codec}");
    let mut lacks = Vec::new();
    for api in Api::AUTO {
        let text = format!("{usual}-{}", api.suffix());
        if Api::of_text(&text).is_none() {
            continue;
        }
        match usable(api, codec, survey) {
            Ok(node) => return Choice { text, api: Some(api), node: Some(node.clone()), lacks },
            Err(lack) => lacks.push((api, lack)),
        }
    }
    Choice { text: usual, api: None, node: None, lacks }
}

/// The device node that `api` decodes `codec` with, or what it lacks.
fn usable<'a>(api: Api, codec: &str, survey: &'a Survey) -> Result<&'a Node, Lack> {
    // The node first: without one there is no element either, and the node is what can be seen to.
    let (kind, nodes) = match api {
        Api::VaApi => ("/dev/dri/renderD*", &survey.nodes.render),
        _ => ("/dev/video* that decodes (V4L2_CAP_VIDEO_M2M)", &survey.nodes.codecs),
    };
    let found = openable(kind, nodes)?;
    if api == Api::V4l2Stateless {
        openable("/dev/media*", &survey.nodes.media)?;
    }
    match api.elements(codec).iter().find(|name| !survey.elements.contains(**name)) {
        Some(missing) => Err(Lack::Element(missing)),
        None => Ok(found),
    }
}

fn openable<'a>(kind: &'static str, nodes: &'a [Node]) -> Result<&'a Node, Lack> {
    let good = nodes.iter().find(|node| node.fault.is_none());
    good.ok_or_else(|| nodes.first().map_or(Lack::Node(kind), |node| Lack::Denied(node.clone())))
}

/// What the names of a source's decode texts begin with; `None`: nothing is coded, or a camera never sees it.
#[must_use]
pub const fn family_of(uri: &SourceUri) -> Option<&'static str> {
    match uri {
        SourceUri::Rtsp { .. } => Some("rtsp"),
        SourceUri::File(_) => Some("file"),
        SourceUri::V4l2 { .. } => Some("v4l2"),
        SourceUri::Test { .. } | SourceUri::Folder { .. } => None,
    }
}

/// What `auto` takes for each coding that a source may send.
#[must_use]
pub fn choices(uri: &SourceUri, survey: &Survey) -> Vec<(&'static str, Choice)> {
    let Some(family) = family_of(uri) else { return Vec::new() };
    let is_known = |codec: &&str| pipeline::is_embedded(&format!("{family}-{codec}"));
    CODECS.into_iter().filter(is_known).map(|codec| (codec, choose(family, codec, survey))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(path: &str, fault: Option<&str>) -> Node {
        Node { path: path.into(), fault: fault.map(str::to_owned) }
    }

    /// Each of three kinds of nodes: none, one that is denied, a good one.
    fn kinds(path: &str) -> [Vec<Node>; 3] {
        [Vec::new(), vec![node(path, Some("Permission denied"))], vec![node(path, None)]]
    }

    #[test]
    fn auto_takes_the_first_in_the_order_whose_elements_and_nodes_are_there_in_every_combination() {
        let sets: [&[&str]; 3] = [&["vah264dec"], &["v4l2h264dec"], &["v4l2slh264dec"]];
        let mut seen = BTreeSet::new();
        for bits in 0_u8..8 {
            let there = sets.iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0);
            let elements: BTreeSet<String> = there.flat_map(|(_, names)| names.iter().map(|n| (*n).into())).collect();
            for render in kinds("/dev/dri/renderD128") {
                for codecs in kinds("/dev/video10") {
                    for media in kinds("/dev/media0") {
                        let good = |nodes: &[Node]| nodes.iter().any(|node| node.fault.is_none());
                        let wanted = [
                            (Api::VaApi, good(&render)),
                            (Api::V4l2, good(&codecs)),
                            (Api::V4l2Stateless, good(&codecs) && good(&media)),
                        ];
                        let wanted =
                            wanted.into_iter().find(|(api, nodes)| *nodes && elements.contains(sets[*api as usize][0]));
                        let nodes = Nodes { render: render.clone(), codecs: codecs.clone(), media };
                        let survey = Survey { elements: elements.clone(), nodes };
                        let choice = choose("rtsp", "h264", &survey);
                        let api = wanted.map(|(api, _)| api);
                        assert_eq!(choice.api, api, "{survey:?}");
                        let text = api.map_or("rtsp-h264".to_owned(), |api| format!("rtsp-h264-{}", api.suffix()));
                        assert_eq!(choice.text, text);
                        assert_eq!(choice.node.is_some(), api.is_some());
                        // Each one before it, or all, says what it lacks.
                        let before = Api::AUTO.iter().take_while(|a| Some(**a) != api).count();
                        assert_eq!(choice.lacks.len(), before, "{choice:?}");
                        seen.insert(choice.text);
                    }
                }
            }
        }
        assert_eq!(seen.len(), 4, "{seen:?}");
    }

    #[test]
    fn a_machine_without_such_hardware_decodes_as_ever_whatever_it_sends() {
        for (uri, codecs) in
            [("rtsp://192.0.2.1/x", 3), ("/video/a.mp4", 3), ("v4l2:///dev/video0", 1), ("test://ball", 0)]
        {
            let uri: SourceUri = uri.parse().unwrap();
            let all = choices(&uri, &Survey::default());
            assert_eq!(all.len(), codecs);
            for (codec, choice) in all {
                assert_eq!(choice.text, format!("{}-{codec}", family_of(&uri).unwrap()));
                assert_eq!(choice.api, None);
            }
        }
    }

    #[test]
    fn what_is_lacking_is_said_node_before_element_and_nothing_that_nobody_named_is_taken() {
        let elements: BTreeSet<String> =
            ["nvh264dec", "qsvh264dec", "mppvideodec", "v4l2h264dec", "vajpegdec"].map(String::from).into();
        let nodes = Nodes { render: vec![node("/dev/dri/renderD128", Some("Permission denied"))], ..Nodes::default() };
        let survey = Survey { elements: elements.clone(), nodes };
        let choice = choose("rtsp", "h264", &survey);
        assert_eq!(choice.text, "rtsp-h264");
        let said: Vec<String> = choice.lacks.iter().map(|(_, lack)| lack.to_string()).collect();
        assert_eq!(said[0], "/dev/dri/renderD128 can't be opened (Permission denied)");
        assert!(said[1].contains("no /dev/video*"), "{said:?}");
        let good = Nodes { render: vec![node("/dev/dri/renderD129", None)], ..Nodes::default() };
        // JPEG needs two elements, and V4L2 has no text for it.
        let mut survey = Survey { elements, nodes: good };
        let jpeg = choose("file", "mjpeg", &survey);
        assert_eq!(jpeg.lacks, [(Api::VaApi, Lack::Element("vapostproc"))]);
        survey.elements.insert("vapostproc".to_owned());
        assert_eq!(choose("v4l2", "mjpeg", &survey).text, "v4l2-mjpeg-va");
        assert_eq!(choose("v4l2", "raw", &survey).text, "v4l2-raw");
    }

    #[test]
    fn every_text_is_of_one_api_and_says_the_elements_that_auto_looks_for() {
        for (name, text) in TEXTS {
            let api = Api::of_text(name).unwrap();
            let codec = name.split('-').nth(1).unwrap();
            for element in api.elements(codec) {
                assert!(text.contains(&format!(" {element} ")), "{name}");
            }
            let is_tried_by_auto = Api::AUTO.contains(&api);
            assert_eq!(!api.elements(codec).is_empty(), is_tried_by_auto, "{name}");
        }
        assert_eq!((Api::of_text("rtsp-h264"), Api::of_text("own-va"), Api::of_text("auto")), (None, None, None));
    }
}
