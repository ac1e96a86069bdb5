//! Files that nobody would export, written field by field; and good files with a few bytes changed.

use proptest::prelude::*;

use super::*;

/// One field of `number` that holds `bytes`.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// One field of `number` that holds an integer.
fn int(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A model around the fields of a graph.
fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    [int(1, 8), field(7, &graph.concat())].concat()
}

/// A float tensor `name` of `dims` with `raw` bytes.
fn tensor(name: &str, kind: u64, dims: &[u64], raw: &[u8]) -> Vec<u8> {
    let dims = dims.iter().flat_map(|d| int(1, *d)).collect::<Vec<_>>();
    [dims, int(2, kind), field(8, name.as_bytes()), field(9, raw)].concat()
}

/// A node; `more` are further fields.
fn node(op: &str, inputs: &[&str], more: &[u8]) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|i| field(1, i.as_bytes())).collect::<Vec<_>>();
    field(1, &[inputs, field(2, b"out"), field(3, b"the node"), field(4, op.as_bytes()), more.to_vec()].concat())
}

fn int64s(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// An initialiser of 64-bit integers.
fn constant(name: &str, values: &[i64]) -> Vec<u8> {
    field(5, &tensor(name, 7, &[values.len() as u64], &int64s(values)))
}

fn refusal(bytes: &[u8]) -> Refusal {
    inspect(bytes).unwrap_err()
}

#[test]
fn what_is_no_model_is_called_by_its_name() {
    assert_eq!(refusal(b""), Refusal::Empty);
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    assert_eq!(refusal(pointer), Refusal::LfsPointer);
    assert!(matches!(refusal(b"<!DOCTYPE html><html>"), Refusal::Text { start } if start.starts_with("<!DOCTYPE")));
    assert!(matches!(refusal(b"PK\x03\x04\x00\x00"), Refusal::Foreign { what } if what.contains("PyTorch")));
    assert!(matches!(refusal(b"\x18\x00\x00\x00ORTM\x00"), Refusal::Foreign { what } if what.contains("own format")));
    assert_eq!(refusal(&int(1, 8)), Refusal::NoGraph);
}

#[test]
fn values_in_another_file_are_refused_with_both_names() {
    let entry = [field(1, b"location"), field(2, b"../../etc/passwd")].concat();
    let outside = [tensor("w", 1, &[4], b""), field(13, &entry), int(14, 1)].concat();
    let want = Refusal::External { tensor: "w".into(), file: "../../etc/passwd".into() };
    assert_eq!(refusal(&model(&[field(5, &outside)])), want);
    // Only by its place, only by its entry, in a Constant, and in a list of tensors.
    let by_place = [tensor("w", 1, &[4], &[0; 16]), int(14, 1)].concat();
    assert!(matches!(refusal(&model(&[field(5, &by_place)])), Refusal::External { .. }));
    for number in [5, 10] {
        let attribute = field(5, &[field(1, b"value"), field(number, &outside)].concat());
        assert_eq!(refusal(&model(&[node("Constant", &[], &attribute)])), want);
    }
}

#[test]
fn ten_gigabytes_that_are_not_there_are_refused_with_the_numbers() {
    let huge = refusal(&model(&[field(5, &tensor("w", 1, &[2_684_354_560], b"1234"))]));
    let Refusal::Claims { claimed, held, .. } = &huge else { panic!("{huge}") };
    assert_eq!((*claimed, *held), (2_684_354_560, 1));
    assert!(huge.to_string().contains("\"w\"") && huge.to_string().contains("2684354560"), "{huge}");
    // In a Constant too, with typed values, with none, and of an unknown type.
    let attribute = field(5, &[field(1, b"value"), field(5, &tensor("c", 7, &[1 << 40], b""))].concat());
    assert!(matches!(refusal(&model(&[node("Constant", &[], &attribute)])), Refusal::Claims { .. }));
    let typed = [int(1, 3), int(2, 7), field(7, &[1, 2])].concat();
    assert!(matches!(refusal(&model(&[field(5, &typed)])), Refusal::Claims { claimed: 3, held: 2, .. }));
    let unknown = tensor("w", 99, &[1], &[0; 64]);
    assert!(matches!(refusal(&model(&[field(5, &unknown)])), Refusal::Claims { .. }));
}

#[test]
fn sizes_that_overflow_or_are_negative_are_refused() {
    for dims in [&[u64::MAX][..], &[1 << 40, 1 << 40], &[1; 17]] {
        let error = refusal(&model(&[field(5, &tensor("w", 1, dims, &[0; 64]))]));
        assert!(matches!(error, Refusal::Sizes { .. }), "{error}");
    }
    // Packed sizes count like single ones; a size of 0 holds nothing and needs nothing.
    let packed = [field(1, &[varint(1 << 40), varint(1 << 40)].concat()), int(2, 1)].concat();
    assert!(matches!(refusal(&model(&[field(5, &packed)])), Refusal::Sizes { .. }));
    inspect(&model(&[field(5, &tensor("w", 1, &[0, 5], b""))])).unwrap();
}

#[test]
fn sparse_tensors_functions_and_second_graphs_are_refused() {
    let sparse = field(1, &tensor("s", 1, &[1], &[0; 4]));
    assert_eq!(refusal(&model(&[field(15, &sparse)])), Refusal::Sparse { tensor: "s".into() });
    let attribute = field(5, &[field(1, b"value"), field(22, &sparse)].concat());
    assert!(matches!(refusal(&model(&[node("Constant", &[], &attribute)])), Refusal::Sparse { .. }));
    let function = [model(&[]), field(25, &field(1, b"mine"))].concat();
    assert_eq!(refusal(&function), Refusal::Function { name: "mine".into() });
    assert!(matches!(refusal(&[model(&[]), model(&[])].concat()), Refusal::Twice { .. }));
}

#[test]
fn operators_of_others_are_refused_with_node_and_domain() {
    let custom = node("Steal", &[], &field(7, b"org.example"));
    let want = Refusal::Operator { node: "the node".into(), domain: "org.example".into(), op: "Steal".into() };
    assert_eq!(refusal(&model(std::slice::from_ref(&custom))), want);
    // In the branch of an If within the body of a Loop.
    let inside = |op: &str, nodes: &[u8]| node(op, &[], &field(5, &[field(1, b"body"), field(6, nodes)].concat()));
    assert_eq!(refusal(&model(&[inside("Loop", &inside("If", &custom))])), want);
    for domain in DOMAINS {
        inspect(&model(&[node("Conv", &[], &field(7, domain.as_bytes()))])).unwrap();
    }
    let context = refusal(&model(&[node("EPContext", &[], &field(7, b"com.microsoft"))]));
    assert!(matches!(context, Refusal::Operator { .. }));
}

#[test]
fn graphs_nested_without_end_are_refused() {
    let mut graph = Vec::new();
    for _ in 0..5_000 {
        graph = node("If", &[], &field(5, &field(6, &graph)));
    }
    assert_eq!(refusal(&model(&[graph])), Refusal::Deep { most: MAX_DEPTH });
}

#[test]
fn more_nodes_than_any_model_has_are_refused() {
    let many = vec![field(1, b""); MAX_NODES + 1];
    assert!(matches!(refusal(&model(&many)), Refusal::Crowded { what: "nodes", .. }));
}

#[test]
fn nodes_that_make_much_of_little_are_refused_by_name() {
    let bombs = [
        ("ConstantOfShape", vec!["shape"], vec![]),
        ("Expand", vec!["x", "shape"], vec![]),
        ("Tile", vec!["x", "shape"], vec![]),
        ("Resize", vec!["x", "", "", "shape"], vec![]),
        ("Pad", vec!["x", "pads"], vec![]),
        ("Range", vec!["zero", "far", "one"], vec![]),
        ("OneHot", vec!["x", "far", "values"], vec![]),
        ("RandomNormal", vec![], ints(b"shape", &[1 << 20, 1 << 20])),
        ("Conv", vec!["x", "w"], ints(b"pads", &[1 << 20, 1 << 20, 1 << 20, 1 << 20])),
        ("ConvTranspose", vec!["x", "w"], ints(b"output_shape", &[1 << 20, 1 << 20])),
    ];
    let constants = [
        constant("shape", &[1, 1 << 20, 1 << 20]),
        constant("pads", &[0, 1 << 20, 1 << 20, 0, 1 << 20, 1 << 20]),
        constant("zero", &[0]),
        constant("far", &[1 << 40]),
        constant("one", &[1]),
    ]
    .concat();
    for (op, inputs, more) in bombs {
        // The constants may come after the node that takes them.
        let error = refusal(&model(&[node(op, &inputs, &more), constants.clone()]));
        let Refusal::Growth { op: named, node, bytes, most } = &error else { panic!("{op}: {error}") };
        assert!(named == op && node == "the node" && bytes > most, "{error}");
    }
    // A shape out of a Constant node.
    let attribute = field(5, &[field(1, b"value"), field(5, &tensor("", 7, &[1], &int64s(&[1 << 40])))].concat());
    let made = node("Constant", &[], &attribute);
    let error = refusal(&model(&[made, node("ConstantOfShape", &["out"], &[])]));
    assert!(matches!(error, Refusal::Growth { .. }), "{error}");
    let small = constant("shape", &[1, -1, 64, 64]);
    inspect(&model(&[node("Expand", &["x", "shape"], &[]), small])).unwrap();
}

fn ints(name: &[u8], values: &[i64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|v| varint(v.cast_unsigned())).collect();
    field(5, &[field(1, name), field(8, &values)].concat())
}

#[test]
fn what_a_node_enlarges_counts_as_many_times_as_it_is_large() {
    // A tensor of 1,024 floats and sizes that make less than a GiB of one element.
    let table = field(5, &tensor("table", 1, &[1, 1024, 1, 1], &[0; 4096]));
    let small = field(5, &tensor("small", 1, &[1, 1, 1, 1], &[0; 4]));
    let constants = [
        table,
        small,
        constant("big", &[1, 1, 1 << 10, 1 << 12]),
        field(5, &tensor("scales", 1, &[4], &[1.0_f32, 1.0, 1024.0, 4096.0].map(f32::to_le_bytes).concat())),
        constant("pads", &[0, 0, 1 << 10, 1 << 12, 0, 0, 0, 0]),
        constant("depth", &[1 << 22]),
        constant("two", &[1 << 10, 1 << 12]),
        constant("last", &[-2, -1]),
        constant("none", &[]),
    ]
    .concat();
    let cases = [
        ("Tile", vec!["X", "big"], vec![]),
        ("Expand", vec!["X", "big"], vec![]),
        ("Resize", vec!["X", "", "scales"], vec![]),
        ("Resize", vec!["X", "", "", "two"], ints(b"axes", &[2, 3])),
        ("Upsample", vec!["X", "scales"], vec![]),
        ("Pad", vec!["X", "pads"], vec![]),
        ("Pad", vec!["X"], ints(b"pads", &[0, 0, 1 << 10, 1 << 12, 0, 0, 0, 0])),
        ("Pad", vec!["X", "two_pads", "", "last"], vec![]),
        ("OneHot", vec!["X", "depth", "none"], vec![]),
        ("CenterCropPad", vec!["X", "two"], ints(b"axes", &[-2, -1])),
    ];
    let two_pads = constant("two_pads", &[1 << 10, 1 << 12, 0, 0]);
    for (op, inputs, more) in cases {
        let of = |x: &'static str| {
            let inputs: Vec<&str> = inputs.iter().map(|i| if *i == "X" { x } else { i }).collect();
            inspect(&model(&[node(op, &inputs, &more), constants.clone(), two_pads.clone()]))
        };
        let error = of("table").unwrap_err();
        assert!(matches!(error, Refusal::Growth { bytes: 17_179_869_184.., .. }), "{op}: {error}");
        of("small").unwrap_or_else(|e| panic!("{op} of one element: {e}"));
        of("picture").unwrap_or_else(|e| panic!("{op} of what is not known: {e}"));
    }
    // Numbers of 8 bytes weigh 8.
    let longs = [constant("one", &[7]), constant("times", &[(1 << 27) + 1])].concat();
    let error = refusal(&model(&[node("Tile", &["one", "times"], &[]), longs]));
    assert!(matches!(error, Refusal::Growth { bytes: 1_073_741_832, .. }), "{error}");
}

#[test]
fn windows_grids_crops_and_transforms_of_a_written_size_are_refused() {
    let int = |name: &[u8], value: u64| field(5, &[field(1, name), int(3, value)].concat());
    let far = 1_i64 << 30;
    let cases = [
        ("HannWindow", vec!["far"], vec![]),
        ("HammingWindow", vec!["far"], vec![]),
        ("BlackmanWindow", vec!["far"], vec![]),
        ("MelWeightMatrix", vec!["wide", "wide"], vec![]),
        ("AffineGrid", vec!["theta", "grid"], vec![]),
        ("Col2Im", vec!["x", "far"], vec![]),
        ("CenterCropPad", vec!["x", "far"], vec![]),
        ("MaxUnpool", vec!["x", "i", "grid"], vec![]),
        ("MaxUnpool", vec!["x", "i"], ints(b"kernel_shape", &[1 << 15, 1 << 15])),
        ("RoiAlign", vec!["x", "rois"], [int(b"output_height", 1 << 14), int(b"output_width", 1 << 14)].concat()),
        ("MaxRoiPool", vec!["x", "rois"], ints(b"pooled_shape", &[1 << 14, 1 << 14])),
        ("CropAndResize", vec!["x", "rois", "", "crop"], field(7, b"com.microsoft")),
        ("DFT", vec!["x", "far"], vec![]),
        ("STFT", vec!["x", "wide", "", "far"], vec![]),
        ("STFT", vec!["signal", "one", "", "frame"], vec![]),
        ("Range", vec!["one", "far", "one"], field(7, b"com.microsoft")),
        ("Range", vec!["computed", "far"], vec![]),
        ("Multinomial", vec!["x"], int(b"sample_size", 1 << 30)),
        ("Conv", vec!["x", "rois"], ints(b"pads", &[1 << 14, 1 << 14, 0, 0])),
    ];
    let constants = [
        constant("far", &[far]),
        constant("wide", &[1 << 15]),
        constant("one", &[1]),
        constant("grid", &[1, 3, 1 << 15, 1 << 15]),
        constant("crop", &[1 << 14, 1 << 14]),
        constant("frame", &[1 << 15]),
        field(5, &tensor("rois", 1, &[4, 4], &[0; 64])),
        field(5, &tensor("signal", 2, &[1, 1 << 17], &vec![0; 1 << 17])),
    ]
    .concat();
    for (op, inputs, more) in cases {
        let error = refusal(&model(&[node(op, &inputs, &more), constants.clone()]));
        assert!(matches!(&error, Refusal::Growth { op: named, .. } if named == op), "{op}: {error}");
        // Of inputs that are not known and without attributes they are nobody's harm.
        inspect(&model(&[node(op, &["a", "b", "c", "d"], &[]), constants.clone()])).unwrap();
    }
    let same = vec![constant("same", &[1]); MAX_NAMESAKES + 1].concat();
    assert!(matches!(refusal(&model(&[same])), Refusal::Crowded { what: "constants of one name", .. }));
}

#[test]
fn the_damaged_byte_is_told() {
    let good = model(&[constant("shape", &[1, 2, 3])]);
    let cut = refusal(&good[..good.len() - 3]);
    assert!(matches!(cut, Refusal::Damaged { at: 3.., .. }), "{cut}");
    assert!(matches!(refusal(&[8, 0xFF, 0xFF, 0xFF]), Refusal::Damaged { .. }));
    assert!(matches!(refusal(&[8, 8, 0x3B]), Refusal::Damaged { reason: "a field is of no known kind", .. }));
    assert!(matches!(refusal(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]), Refusal::Damaged { .. }));
}

fn fixtures() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models");
    ["spot/spot.onnx", "ended/ended.onnx", "bytes/bytes.onnx", "deployed/deployed.onnx"]
        .map(|name| std::fs::read(folder.join(name)).unwrap())
        .to_vec()
}

#[test]
fn our_own_models_pass() {
    let models = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    for name in ["plates-1", "reader-1", "objects-1"] {
        inspect(&std::fs::read(models.join(name).join("model.onnx")).unwrap()).unwrap();
    }
    for bytes in fixtures() {
        inspect(&bytes).unwrap();
    }
}

proptest! {
    #[test]
    fn changed_bytes_are_judged_and_never_a_panic(
        which in 0_usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..12),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = fixtures().swap_remove(which);
        for (at, value, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = value,
                1 => bytes.insert(at, value),
                _ => bytes[at] ^= 1 << (value % 8),
            }
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Err(error) = inspect(&bytes) {
            prop_assert!(error.to_string().len() < 4_000);
        }
    }

    #[test]
    fn any_bytes_are_judged_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = inspect(&bytes);
        let _ = inspect(&model(&[bytes]));
    }
}
