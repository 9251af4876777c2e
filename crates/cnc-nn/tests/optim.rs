//! Optimisers and schedules against PyTorch, by hand, and over a save and a load.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use cnc_nn::Error;
use cnc_nn::optim::{AdamW, AdamWOptions, Gradients, Optimizer, ParameterGroup, Schedule, Sgd, SgdOptions};

type Named = Vec<(String, Var)>;

const STEPS: usize = 10;
const PLAIN: SgdOptions = SgdOptions { momentum: 0.0, nesterov: false };
const MOMENTUM: SgdOptions = SgdOptions { momentum: 0.9, nesterov: false };
const NESTEROV: SgdOptions = SgdOptions { momentum: 0.9, nesterov: true };

fn fixture() -> BTreeMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/optim.safetensors");
    cnc_nn::files::read(&path, &Device::Cpu).unwrap()
}

fn start(fixture: &BTreeMap<String, Tensor>) -> Named {
    ["b", "w"].map(|name| (name.to_owned(), Var::from_tensor(&fixture[&format!("start.{name}")]).unwrap())).to_vec()
}

/// Gradients with given values, by way of a loss that has them.
fn gradients_of(parameters: &Named, values: impl Fn(&str) -> Tensor) -> Gradients {
    let terms = parameters.iter().map(|(name, var)| (var.as_tensor() * values(name)).unwrap().sum_all().unwrap());
    let loss = terms.reduce(|sum, term| (sum + term).unwrap()).unwrap();
    Gradients::of(&loss, parameters).unwrap()
}

fn gradients_at(step: usize, parameters: &Named, fixture: &BTreeMap<String, Tensor>) -> Gradients {
    gradients_of(parameters, |name| fixture[&format!("gradients.{name}")].get(step).unwrap())
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn bits(parameters: &Named) -> Vec<u32> {
    parameters.iter().flat_map(|(_, var)| values(var)).map(f32::to_bits).collect()
}

fn group(parameters: &Named, weight_decay: f64) -> Vec<ParameterGroup> {
    vec![ParameterGroup { parameters: parameters.clone(), weight_decay, lr_scale: 1.0 }]
}

/// Biases without decay at half the rate.
fn two_groups(parameters: &Named) -> Vec<ParameterGroup> {
    vec![
        ParameterGroup { parameters: vec![parameters[0].clone()], weight_decay: 0.0, lr_scale: 0.5 },
        ParameterGroup { parameters: vec![parameters[1].clone()], weight_decay: 0.1, lr_scale: 1.0 },
    ]
}

fn sgd(groups: Vec<ParameterGroup>, options: SgdOptions) -> Box<dyn Optimizer> {
    Box::new(Sgd::new(groups, options).unwrap())
}

fn adamw(groups: Vec<ParameterGroup>, options: AdamWOptions) -> Box<dyn Optimizer> {
    Box::new(AdamW::new(groups, options).unwrap())
}

fn assert_steps_of_pytorch(key: &str, make: impl Fn(&Named) -> Box<dyn Optimizer>, schedule: Schedule) {
    let fixture = fixture();
    let parameters = start(&fixture);
    let mut optimizer = make(&parameters);
    for step in 0..STEPS {
        let gradients = gradients_at(step, &parameters, &fixture);
        optimizer.step(&gradients, 0.1 * schedule.factor(step as u64)).unwrap();
        for (name, var) in &parameters {
            let expected = values(&fixture[&format!("{key}.{name}")].get(step).unwrap());
            for (our, expected) in values(var).iter().zip(&expected) {
                assert!((our - expected).abs() < 3e-6, "{key}, step {step}, {name}: {our}, PyTorch has {expected}");
            }
        }
    }
}

#[test]
fn ten_steps_of_sgd_are_those_of_pytorch() {
    let constant = Schedule::Constant;
    assert_steps_of_pytorch("sgd", |p| sgd(group(p, 0.0), PLAIN), constant);
    assert_steps_of_pytorch("sgd_decay", |p| sgd(group(p, 0.1), PLAIN), constant);
    assert_steps_of_pytorch("sgd_momentum", |p| sgd(group(p, 0.0), MOMENTUM), constant);
    assert_steps_of_pytorch("sgd_momentum_decay", |p| sgd(group(p, 0.1), MOMENTUM), constant);
    assert_steps_of_pytorch("sgd_nesterov", |p| sgd(group(p, 0.1), NESTEROV), constant);
    assert_steps_of_pytorch("sgd_groups", |p| sgd(two_groups(p), MOMENTUM), constant);
    assert_steps_of_pytorch("sgd_cosine", |p| sgd(group(p, 0.0), MOMENTUM), Schedule::Cosine { steps: 10 });
}

#[test]
fn ten_steps_of_adamw_are_those_of_pytorch() {
    let constant = Schedule::Constant;
    let other = AdamWOptions { betas: (0.8, 0.95), eps: 1e-3, l2: false };
    assert_steps_of_pytorch("adamw", |p| adamw(group(p, 0.0), AdamWOptions::default()), constant);
    assert_steps_of_pytorch("adamw_decay", |p| adamw(group(p, 0.1), other), constant);
    assert_steps_of_pytorch("adamw_groups", |p| adamw(two_groups(p), AdamWOptions::default()), constant);
}

#[test]
fn ten_steps_of_adam_with_l2_are_those_of_pytorch() {
    let adam = AdamWOptions { l2: true, ..AdamWOptions::default() };
    assert_steps_of_pytorch("adam_l2", |p| adamw(group(p, 0.1), adam), Schedule::Constant);
    let mut parted = gradients_at(0, &start(&fixture()), &fixture());
    let whole = parted.norm().unwrap();
    let part = parted.clip_part(|name| name == "b", 0.5).unwrap();
    assert!(part > 0.5 && part < whole);
    let found = |name: &str| values(&parted.get(name).unwrap().unwrap());
    let norm = found("b").iter().map(|value| value * value).sum::<f32>().sqrt();
    assert!((norm - 0.5).abs() < 1e-5, "{norm}");
    assert_eq!(found("w"), values(&gradients_at(0, &start(&fixture()), &fixture()).get("w").unwrap().unwrap()));
}

#[test]
fn clipping_is_that_of_pytorch() {
    let fixture = fixture();
    let parameters = start(&fixture);
    let mut optimizer = sgd(group(&parameters, 0.0), MOMENTUM);
    let norms = values(&fixture["sgd_clipped.norms"]);
    assert!(norms.iter().any(|norm| *norm < 4.0) && norms.iter().any(|norm| *norm > 4.0));
    for (step, expected) in norms.iter().enumerate() {
        let mut gradients = gradients_at(step, &parameters, &fixture);
        let norm = gradients.clip(4.0).unwrap();
        assert!((norm - f64::from(*expected)).abs() < 1e-6, "{norm} {expected}");
        assert!(gradients.norm().unwrap() < 4.0 + 1e-6);
        optimizer.step(&gradients, 0.1).unwrap();
        for (name, var) in &parameters {
            let expected = values(&fixture[&format!("sgd_clipped.{name}")].get(step).unwrap());
            for (our, expected) in values(var).iter().zip(&expected) {
                assert!((our - expected).abs() < 3e-6, "step {step}, {name}: {our}, PyTorch has {expected}");
            }
        }
    }
}

#[test]
fn schedules_are_those_of_pytorch_and_transformers() {
    let fixture = fixture();
    for (key, schedule) in [
        ("schedule.step", Schedule::Step { every: 7, gamma: 0.3 }),
        ("schedule.cosine", Schedule::Cosine { steps: 29 }),
        ("schedule.linear", Schedule::LinearWithWarmup { warmup: 4, steps: 24 }),
        ("schedule.cosine_with_warmup", Schedule::CosineWithWarmup { warmup: 4, steps: 24 }),
    ] {
        for (step, expected) in fixture[key].to_vec1::<f64>().unwrap().into_iter().enumerate() {
            let factor = schedule.factor(step as u64);
            assert!((factor - expected).abs() < 1e-12, "{key}, step {step}: {factor}, PyTorch has {expected}");
        }
    }
}

fn one_parameter(value: f32) -> Named {
    vec![("p".to_owned(), Var::new(&[value], &Device::Cpu).unwrap())]
}

fn ones(parameters: &Named) -> Gradients {
    gradients_of(parameters, |_| Tensor::new(&[1f32], &Device::Cpu).unwrap())
}

/// p = 1, constant gradient 1, rate 0.1, momentum 0.9.
fn three_steps_by_hand(weight_decay: f64) -> Vec<f32> {
    let parameters = one_parameter(1.0);
    let mut optimizer = sgd(group(&parameters, weight_decay), MOMENTUM);
    let mut step = || {
        optimizer.step(&ones(&parameters), 0.1).unwrap();
        values(&parameters[0].1)[0]
    };
    vec![step(), step(), step()]
}

#[test]
fn momentum_without_and_with_weight_decay_gives_the_values_of_a_calculation_by_hand() {
    for (weight_decay, expected) in [(0.0, [0.9, 0.71, 0.439]), (0.1, [0.89, 0.6821, 0.388169])] {
        for (our, expected) in three_steps_by_hand(weight_decay).iter().zip(expected) {
            assert!((our - expected).abs() < 1e-6, "{our} {expected}");
        }
    }
}

#[test]
fn the_first_step_of_adamw_is_the_rate_whatever_the_gradient() {
    let parameters = one_parameter(1.0);
    let mut optimizer = adamw(group(&parameters, 0.0), AdamWOptions::default());
    optimizer.step(&gradients_of(&parameters, |_| Tensor::new(&[123f32], &Device::Cpu).unwrap()), 0.1).unwrap();
    assert!((values(&parameters[0].1)[0] - 0.9).abs() < 1e-6);
}

#[test]
fn a_linear_decay_and_clipping_by_hand() {
    // Rates 0.1, 0.05 and 0; the gradient 1 is clipped to 0.5.
    let schedule = Schedule::LinearWithWarmup { warmup: 0, steps: 2 };
    let parameters = one_parameter(1.0);
    let mut optimizer = sgd(group(&parameters, 0.0), PLAIN);
    for (step, expected) in [0.95, 0.925, 0.925].into_iter().enumerate() {
        let mut gradients = ones(&parameters);
        assert_eq!(gradients.clip(0.5).unwrap(), 1.0);
        optimizer.step(&gradients, 0.1 * schedule.factor(step as u64)).unwrap();
        assert!((values(&parameters[0].1)[0] - expected).abs() < 1e-6);
    }
}

#[test]
fn an_optimiser_with_restored_state_continues_to_the_last_bit() {
    type Make = fn(Vec<ParameterGroup>) -> Box<dyn Optimizer>;
    let kinds: [Make; 4] = [
        |groups| sgd(groups, PLAIN),
        |groups| sgd(groups, MOMENTUM),
        |groups| sgd(groups, NESTEROV),
        |groups| adamw(groups, AdamWOptions::default()),
    ];
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("optimizer.safetensors");
    for make in kinds {
        let whole = start(&fixture);
        let mut optimizer = make(group(&whole, 0.1));
        for step in 0..STEPS {
            optimizer.step(&gradients_at(step, &whole, &fixture), 0.1).unwrap();
        }

        let first_half = start(&fixture);
        let mut optimizer = make(group(&first_half, 0.1));
        for step in 0..4 {
            optimizer.step(&gradients_at(step, &first_half, &fixture), 0.1).unwrap();
        }
        cnc_nn::files::save(&optimizer.state().unwrap(), &path).unwrap();
        let second_half: Named = first_half
            .iter()
            .map(|(name, var)| (name.clone(), Var::from_tensor(&var.copy().unwrap().detach()).unwrap()))
            .collect();
        let mut optimizer = make(group(&second_half, 0.1));
        let state = cnc_nn::files::read(&path, &Device::Cpu).unwrap();
        optimizer.load_state(&state).unwrap();
        for step in 4..STEPS {
            optimizer.step(&gradients_at(step, &second_half, &fixture), 0.1).unwrap();
        }
        assert_eq!(bits(&whole), bits(&second_half));
        assert_ne!(bits(&whole), bits(&first_half));
    }
}

#[test]
fn saved_state_does_not_change_when_training_goes_on() {
    let fixture = fixture();
    let parameters = start(&fixture);
    let mut optimizer = adamw(group(&parameters, 0.1), AdamWOptions::default());
    optimizer.step(&gradients_at(0, &parameters, &fixture), 0.1).unwrap();
    let state = optimizer.state().unwrap();
    let before = values(&state["exp_avg.w"]);
    optimizer.load_state(&state).unwrap();
    optimizer.step(&gradients_at(1, &parameters, &fixture), 0.1).unwrap();
    assert_eq!(before, values(&state["exp_avg.w"]));
}

#[test]
fn the_state_of_another_optimiser_is_refused_by_name_and_changes_nothing() {
    let fixture = fixture();
    let parameters = start(&fixture);
    let mut sgd = sgd(group(&parameters, 0.0), MOMENTUM);
    sgd.step(&gradients_at(0, &parameters, &fixture), 0.1).unwrap();
    let before = values(&sgd.state().unwrap()["momentum.w"]);
    let other = adamw(group(&parameters, 0.0), AdamWOptions::default()).state().unwrap();
    assert_eq!(
        sgd.load_state(&other).unwrap_err().to_string(),
        "these tensors do not fit the optimiser: missing momentum.b, momentum.w; not known here exp_avg.b, exp_avg.w, \
         exp_avg_sq.b, exp_avg_sq.w, step"
    );
    let mut state = sgd.state().unwrap();
    state.insert("momentum.b".to_owned(), Tensor::zeros(4, candle_core::DType::F32, &Device::Cpu).unwrap());
    assert_eq!(
        sgd.load_state(&state).unwrap_err().to_string(),
        "these tensors do not fit the optimiser: momentum.b should have shape [5] and has [4]"
    );
    assert_eq!(before, values(&sgd.state().unwrap()["momentum.w"]));
}

#[test]
fn a_parameter_that_no_gradient_reaches_is_an_error_with_its_name() {
    let (a, b) = (Var::new(&[1f32], &Device::Cpu).unwrap(), Var::new(&[2f32], &Device::Cpu).unwrap());
    let loss = a.sqr().unwrap().sum_all().unwrap();
    let parameters = vec![("encoder.a".to_owned(), a), ("encoder.b".to_owned(), b)];
    let error = Gradients::of(&loss, &parameters).unwrap_err();
    assert!(matches!(&error, Error::MissingGradients { names } if names == &["encoder.b"]), "{error}");
    assert!(error.to_string().starts_with("no gradient reaches encoder.b"), "{error}");
}

#[test]
fn a_parameter_that_several_ops_read_has_the_sum_of_their_gradients_whoever_the_ops_are_from() {
    let new = |values: &[f32]| Var::new(values, &Device::Cpu).unwrap();
    let (w, other) = (new(&[1.0, -2.0]), new(&[3.0, 4.0]));
    let relu = |x: &Tensor| cnc_nn::ops::relu(x).unwrap();
    let loss = || {
        let twice = (relu(&w) + relu(&w)).unwrap();
        let of_candle = (w.as_tensor() * other.as_tensor()).unwrap();
        ((twice + of_candle).unwrap() + relu(&other)).unwrap().sum_all().unwrap()
    };
    let parameters = vec![("w".to_owned(), w.clone())];
    let gradient = Gradients::of(&loss(), &parameters).unwrap().get("w").unwrap().unwrap();
    assert_eq!(values(&gradient), [2.0 + 3.0, 4.0]);
    // A backward pass of Candle's by itself finds all of them in Candle's store, before and after.
    let store = loss().backward().unwrap();
    assert_eq!(values(store.get(&w).unwrap()), [5.0, 4.0]);
    assert_eq!(values(store.get(&other).unwrap()), [1.0 + 1.0, 1.0 - 2.0]);
}

#[test]
fn a_backward_pass_that_fails_leaves_nothing_behind() {
    struct Failing;
    impl candle_core::CustomOp1 for Failing {
        fn name(&self) -> &'static str {
            "failing"
        }
        fn cpu_fwd(
            &self,
            storage: &candle_core::CpuStorage,
            layout: &candle_core::Layout,
        ) -> candle_core::Result<(candle_core::CpuStorage, candle_core::Shape)> {
            use candle_core::backend::BackendStorage;
            Ok((storage.try_clone(layout)?, layout.shape().clone()))
        }
    }
    let w = Var::new(&[1f32], &Device::Cpu).unwrap();
    let parameters = vec![("w".to_owned(), w.clone())];
    let relu = cnc_nn::ops::relu(&w).unwrap();
    let failing = w.apply_op1(Failing).unwrap();
    assert!(Gradients::of(&(relu.clone() + failing).unwrap().sum_all().unwrap(), &parameters).is_err());
    let store = relu.sum_all().unwrap().backward().unwrap();
    assert_eq!(values(store.get(&w).unwrap()), [1.0]);
}

#[test]
fn gradients_and_groups_must_have_the_same_parameters() {
    let both: Named = [one_parameter(1.0), vec![("q".to_owned(), Var::new(&[1f32], &Device::Cpu).unwrap())]].concat();
    let one = vec![both[0].clone()];
    let error = sgd(group(&one, 0.0), PLAIN).step(&ones(&both), 0.1).unwrap_err();
    assert!(matches!(&error, Error::UnknownGradients { names } if names == &["q"]), "{error}");
    let error = sgd(group(&both, 0.0), PLAIN).step(&ones(&one), 0.1).unwrap_err();
    assert!(matches!(&error, Error::MissingGradients { names } if names == &["q"]), "{error}");
    assert_eq!(values(&both[0].1), [1.0]);
}

#[test]
fn a_parameter_in_two_groups_is_refused() {
    let parameters = one_parameter(1.0);
    let groups = [group(&parameters, 0.0), group(&parameters, 0.1)].concat();
    assert!(matches!(Sgd::new(groups, PLAIN), Err(Error::DuplicateParameter { name }) if name == "p"));
}

#[test]
fn options_outside_their_range_are_refused_by_name() {
    let parameters = one_parameter(1.0);
    for (momentum, nesterov) in [(-0.1, false), (1.0, false), (f64::NAN, false), (0.0, true)] {
        let result = Sgd::new(group(&parameters, 0.0), SgdOptions { momentum, nesterov });
        assert!(matches!(result, Err(Error::InvalidOption { option: "momentum", .. })));
    }
    for weight_decay in [-1e-4, f64::NAN, f64::INFINITY] {
        assert!(Sgd::new(group(&parameters, weight_decay), PLAIN).is_err());
    }
    let default = AdamWOptions::default();
    for options in [AdamWOptions { betas: (0.9, 1.0), ..default }, AdamWOptions { eps: -1.0, ..default }] {
        assert!(AdamW::new(group(&parameters, 0.0), options).is_err());
    }
    let mut optimizer = sgd(group(&parameters, 0.0), PLAIN);
    for lr in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(optimizer.step(&ones(&parameters), lr).is_err());
    }
    assert!(ones(&parameters).clip(0.0).is_err());
    assert_eq!(values(&parameters[0].1), [1.0]);
}

#[test]
fn gradients_that_are_not_finite_are_seen_and_not_clipped_away() {
    let parameters = one_parameter(1.0);
    assert!(ones(&parameters).all_finite().unwrap());
    for bad in [f32::NAN, f32::INFINITY] {
        let mut gradients = gradients_of(&parameters, |_| Tensor::new(&[bad], &Device::Cpu).unwrap());
        gradients.clip(1.0).unwrap();
        assert!(!gradients.all_finite().unwrap());
    }
}

#[test]
fn gradients_of_several_batches_add_up_to_their_mean() {
    let parameters = one_parameter(1.0);
    let of = |value: f32| gradients_of(&parameters, |_| Tensor::new(&[value], &Device::Cpu).unwrap());
    let mut sum = of(1.0);
    sum.add(&of(6.0)).unwrap();
    sum.scale(0.5);
    assert_eq!(values(&sum.get("p").unwrap().unwrap()), [3.5]);
    assert_eq!(sum.norm().unwrap(), 3.5);
    sum.add(&of(0.5)).unwrap();
    assert_eq!(values(&sum.get("p").unwrap().unwrap()), [4.0]);
    assert!(sum.get("q").unwrap().is_none());
}

#[test]
fn a_loss_of_several_numbers_is_refused_with_its_shape() {
    let w = Var::ones((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
    let parameters = vec![("w".to_owned(), w.clone())];
    let error = Gradients::of(&w.sqr().unwrap(), &parameters).unwrap_err();
    assert!(matches!(&error, Error::LossShape { shape } if shape == &[2, 3]), "{error}");
    assert_eq!(error.to_string(), "a loss must be one number, but has the shape [2, 3]: take its mean or its sum");
    let one = w.sum_all().unwrap().reshape((1, 1)).unwrap();
    assert!(Gradients::of(&one, &parameters).is_ok());
}
