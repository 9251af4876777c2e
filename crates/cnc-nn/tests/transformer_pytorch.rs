//! Values and gradients of the parts of a transformer against PyTorch's (see `fixtures/make_transformer_fixtures.py`), for
//! the form that each op picks on the CPU as well as for the composed one.

use std::collections::HashMap;

use candle_core::{Device, Tensor, Var};
use cnc_nn::ops::{
    Activation, OpError, Sequences, activate, add_norm, embedding, feed_forward, layer_norm, self_attention, softmax,
};
use cnc_nn::oracle;
use cnc_nn::oracle::blocks::{Attention, Join, attention_sublayer, feed_forward_sublayer};

type Result = std::result::Result<Tensor, OpError>;

/// `nn.LayerNorm` of BERT.
const EPSILON: f64 = 1e-12;

/// Runs `op` on the arguments and settings of each case whose name starts with `prefix`, and compares its value and all of its
/// gradients.
fn check(prefix: &str, op: impl Fn(&[Tensor], &[usize]) -> Result) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/transformer.safetensors");
    let fixtures: HashMap<String, Tensor> = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let cases: Vec<&str> = fixtures.keys().filter_map(|key| key.strip_suffix(".y")).collect();
    let cases: Vec<&str> = cases.into_iter().filter(|case| case.starts_with(prefix)).collect();
    assert!(!cases.is_empty(), "no case starts with {prefix}");
    for case in cases {
        let fixture = |key: &str| fixtures.get(&format!("{case}.{key}"));
        let settings: Vec<i64> = fixture("settings").unwrap().to_vec1().unwrap();
        let settings: Vec<usize> = settings.into_iter().map(|setting| setting as usize).collect();
        let arguments = (0..).map_while(|i| fixture(&i.to_string()));
        let variables: Vec<Var> = arguments.map(|argument| Var::from_tensor(argument).unwrap()).collect();
        let tensors: Vec<Tensor> = variables.iter().map(|variable| variable.as_tensor().clone()).collect();
        let y = op(&tensors, &settings).unwrap();
        assert_close(&y, fixture("y").unwrap(), &format!("{case}: value"));
        let gradients = (y * fixture("dy").unwrap()).unwrap().sum_all().unwrap().backward().unwrap();
        for (i, variable) in variables.iter().enumerate() {
            let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{case}: no gradient {i}"));
            assert_close(gradient, fixture(&format!("d{i}")).unwrap(), &format!("{case}: gradient {i}"));
        }
    }
}

fn assert_close(ours: &Tensor, pytorch: &Tensor, what: &str) {
    assert_eq!(ours.dims(), pytorch.dims(), "{what}");
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let pytorch = values(pytorch);
    // Some gradients are zero but for rounding: that of the keys' bias, for one.
    let largest = pytorch.iter().fold(1f32, |largest, value| largest.max(value.abs()));
    for (i, (ours, pytorch)) in values(ours).iter().zip(&pytorch).enumerate() {
        assert!((ours - pytorch).abs() <= 1e-5 * largest, "{what} [{i}]: {ours}, PyTorch has {pytorch}");
    }
}

fn maps(a: &[Tensor]) -> [(&Tensor, &Tensor); 3] {
    [(&a[1], &a[2]), (&a[3], &a[4]), (&a[5], &a[6])]
}

#[test]
fn gelu_has_the_values_and_gradients_of_pytorch_in_both_forms() {
    for (name, kind) in [("erf_gelu", Activation::Gelu), ("tanh_gelu", Activation::GeluTanh)] {
        check(name, |a, _| activate(&a[0], kind));
        check(name, |a, _| oracle::activate(&a[0], kind));
    }
}

#[test]
fn softmax_has_the_values_and_gradients_of_pytorch() {
    check("softmax", |a, _| softmax(&a[0]));
}

#[test]
fn embedding_has_the_values_and_gradients_of_pytorch_also_for_repeated_ids() {
    let ids = |s: &[usize]| s.iter().map(|id| *id as u32).collect::<Vec<u32>>();
    check("embedding", |a, s| embedding(&a[0], &ids(s)));
    check("embedding", |a, s| oracle::embedding(&a[0], &ids(s)));
}

#[test]
fn layer_norm_has_the_values_and_gradients_of_pytorch() {
    check("norm", |a, _| layer_norm(&a[0], &a[1], &a[2], EPSILON));
    check("norm", |a, _| oracle::layer_norm(&a[0], &a[1], &a[2], EPSILON));
    check("add_norm", |a, _| add_norm(&a[0], &a[1], None, &a[2], &a[3], EPSILON));
    check("add_norm", |a, _| oracle::add_norm(&a[0], &a[1], None, &a[2], &a[3], EPSILON));
}

#[test]
fn feed_forward_has_the_values_and_gradients_of_pytorch_with_every_activation() {
    for (name, kind) in [("gelu", Activation::Gelu), ("tanh", Activation::GeluTanh), ("relu", Activation::Relu)] {
        let name = format!("feed_forward_{name}");
        check(&name, |a, _| feed_forward(&a[0], (&a[1], &a[2]), kind, (&a[3], &a[4])));
        check(&name, |a, _| oracle::feed_forward(&a[0], (&a[1], &a[2]), kind, (&a[3], &a[4])));
    }
}

#[test]
fn self_attention_has_the_values_and_gradients_of_pytorch_with_its_padding_masked() {
    check("attention", |a, s| self_attention(&a[0], maps(a), s[0], &Sequences::new(&s[1..]), None));
    check("attention", |a, s| oracle::self_attention(&a[0], maps(a), s[0], &Sequences::new(&s[1..]), None));
}

#[test]
fn sublayers_have_the_values_and_gradients_of_pytorch() {
    for op in [attention_sublayer, oracle::attention_sublayer] {
        check("sublayer_attention", |a, s| {
            let branch = Attention { projections: maps(a), heads: s[0], mask: None, output: (&a[7], &a[8]) };
            op(&a[0], branch, &Sequences::new(&s[1..]), join(&a[9..]))
        });
    }
    for op in [feed_forward_sublayer, oracle::feed_forward_sublayer] {
        check("sublayer_feed_forward", |a, _| {
            op(&a[0], (&a[1], &a[2]), Activation::Gelu, (&a[3], &a[4]), join(&a[5..]))
        });
    }
}

/// Of weight and bias of a norm.
fn join(norm: &[Tensor]) -> Join<'_> {
    Join { mask: None, weight: &norm[0], bias: &norm[1], epsilon: EPSILON }
}
