//! Values and gradients of the ops against PyTorch's (see `fixtures/make_ops_fixtures.py`), for the form that the op picks
//! on the CPU as well as for the composed one.

use std::collections::HashMap;

use candle_core::{Device, Result, Tensor, Var};
use cnc_nn::ops::{OpError, conv_relu_pool, conv2d, linear, max_pool2d, relu};
use cnc_nn::oracle;

struct Fixtures(HashMap<String, Tensor>);

impl Fixtures {
    fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ops.safetensors");
        Self(candle_core::safetensors::load(path, &Device::Cpu).expect("the fixture is part of the repository"))
    }

    fn tensor(&self, case: &str, key: &str) -> Option<&Tensor> {
        self.0.get(&format!("{case}.{key}"))
    }

    fn cases(&self, prefix: &str) -> Vec<String> {
        let names = self.0.keys().filter_map(|key| key.strip_suffix(".y")).filter(|name| name.starts_with(prefix));
        let mut names: Vec<String> = names.map(String::from).collect();
        names.sort();
        assert!(!names.is_empty(), "no case starts with {prefix}");
        names
    }

    /// Runs `op` on the case's inputs and settings and compares its value and all of its gradients.
    fn check(
        &self,
        prefix: &str,
        op: impl Fn(&Tensor, &[Tensor], Option<&Tensor>, &[usize]) -> std::result::Result<Tensor, OpError>,
    ) {
        for case in self.cases(prefix) {
            let settings = self.tensor(&case, "settings").unwrap().to_vec1::<i64>().unwrap();
            let settings: Vec<usize> = settings.into_iter().map(|setting| setting as usize).collect();
            let variable = |key| self.tensor(&case, key).map(|tensor| Var::from_tensor(tensor).unwrap());
            let (x, weight, bias) = (variable("x").unwrap(), variable("weight"), variable("bias"));
            let weights: Vec<Tensor> = weight.iter().map(|weight| weight.as_tensor().clone()).collect();
            let y = op(&x, &weights, bias.as_ref().map(Var::as_tensor), &settings).unwrap();
            assert_close(&y, self.tensor(&case, "y").unwrap(), &format!("{case}: value"));
            let gradients = (y * self.tensor(&case, "dy").unwrap()).unwrap().sum_all().unwrap().backward().unwrap();
            for (key, variable) in [("dx", Some(&x)), ("dweight", weight.as_ref()), ("dbias", bias.as_ref())] {
                let Some(variable) = variable else { continue };
                let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{case}: no gradient {key}"));
                assert_close(gradient, self.tensor(&case, key).unwrap(), &format!("{case}: {key}"));
            }
        }
    }
}

fn assert_close(ours: &Tensor, pytorch: &Tensor, what: &str) {
    assert_eq!(ours.dims(), pytorch.dims(), "{what}");
    let difference = || -> Result<f32> { (ours - pytorch)?.abs()?.flatten_all()?.max(0)?.to_scalar() };
    let difference = difference().unwrap();
    assert!(difference < 3e-5, "{what}: differs by {difference}");
}

#[test]
fn conv2d_has_the_values_and_gradients_of_pytorch() {
    let fixtures = Fixtures::load();
    fixtures.check("conv2d", |x, weight, bias, s| conv2d(x, &weight[0], bias, s[0], s[1]));
}

#[test]
fn max_pool2d_has_the_values_and_gradients_of_pytorch() {
    let fixtures = Fixtures::load();
    fixtures.check("pool", |x, _, _, s| max_pool2d(x, s[0], s[1], s[2]));
}

#[test]
fn relu_has_the_values_and_gradients_of_pytorch_also_at_zero() {
    let fixtures = Fixtures::load();
    fixtures.check("relu", |x, _, _, _| relu(x));
    fixtures.check("relu", |x, _, _, _| oracle::relu(x));
}

#[test]
fn linear_has_the_values_and_gradients_of_pytorch() {
    let fixtures = Fixtures::load();
    fixtures.check("linear", |x, weight, bias, _| linear(x, &weight[0], bias));
    fixtures.check("linear", |x, weight, bias, _| oracle::linear(x, &weight[0], bias));
}

#[test]
fn conv_relu_pool_has_the_values_and_gradients_of_pytorch() {
    let fixtures = Fixtures::load();
    fixtures.check("block", |x, weight, bias, s| conv_relu_pool(x, &weight[0], bias, s[0]));
    fixtures.check("block", |x, weight, bias, s| oracle::conv_relu_pool(x, &weight[0], bias, s[0]));
}
