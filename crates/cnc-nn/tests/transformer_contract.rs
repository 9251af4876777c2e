//! What the parts of a transformer promise besides their values: results that do not depend on threads, views as arguments,
//! nothing hidden, errors that name what is wrong.

mod common;

use candle_core::{DType, Device, Tensor, Var};
use cnc_nn::ops::{
    Activation, Mask, OpError, Sequences, activate, add_norm, dropout, embedding, feed_forward, layer_norm,
    self_attention, softmax,
};
use cnc_nn::oracle::blocks::{Attention, Join, attention_sublayer, feed_forward_sublayer};

use common::assert_same_bits_on_any_number_of_threads;

/// The fractional parts of multiples of the golden ratio, minus a half.
fn draw(shape: &[usize]) -> Tensor {
    let len: usize = shape.iter().product();
    let values: Vec<f32> = (0..len).map(|i| (i as f64 * 0.618_033_988_749_895).fract() as f32 - 0.5).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

fn mask() -> Option<Mask> {
    Mask::new(0.1, 7).unwrap()
}

const WIDTH: usize = 96;
const LENGTHS: [usize; 5] = [150, 20, 0, 77, 300];

/// Value and gradients of a small transformer layer with every op in it.
fn transformer() -> Vec<Vec<f32>> {
    let sequences = Sequences::new(&LENGTHS);
    let ids: Vec<u32> = (0..sequences.rows() as u32).map(|i| i * i % 50).collect();
    let variable = |shape: &[usize]| Var::from_tensor(&draw(shape)).unwrap();
    let table = variable(&[50, WIDTH]);
    let square: [Var; 3] = std::array::from_fn(|_| variable(&[WIDTH, WIDTH]));
    let vectors: [Var; 5] = std::array::from_fn(|_| variable(&[WIDTH]));
    let hidden = [variable(&[200, WIDTH]), variable(&[200]), variable(&[WIDTH, 200])];
    let [weight, bias, bq, bk, bv] = &vectors;
    let x = embedding(&table, &ids).unwrap();
    let x = layer_norm(&x, weight, bias, 1e-12).unwrap();
    let maps = [(square[0].as_tensor(), bq.as_tensor()), (&square[1], bk), (&square[2], bv)];
    let y = self_attention(&x, maps, 4, &sequences, mask()).unwrap();
    let x = add_norm(&x, &y, mask(), weight, bias, 1e-12).unwrap();
    let y = feed_forward(&x, (&hidden[0], &hidden[1]), Activation::Gelu, (&hidden[2], bias)).unwrap();
    let x = (x + y).unwrap();
    let join = Join { mask: mask(), weight, bias, epsilon: 1e-12 };
    let branch = Attention { projections: maps, heads: 4, mask: mask(), output: (&square[0], bq) };
    let x = attention_sublayer(&x, branch, &sequences, join).unwrap();
    let x = feed_forward_sublayer(&x, (&hidden[0], &hidden[1]), Activation::Gelu, (&hidden[2], bias), join).unwrap();
    let x = dropout(&softmax(&x).unwrap(), mask().unwrap()).unwrap();
    let gradients = x.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let variables = std::iter::once(&table).chain(&square).chain(&vectors).chain(&hidden);
    let gradients = variables.map(|variable| gradients.get(variable).unwrap().clone());
    let values = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    std::iter::once(x.clone()).chain(gradients).map(values).collect()
}

#[test]
fn one_and_several_threads_give_the_same_bits() {
    assert_same_bits_on_any_number_of_threads(transformer);
}

/// Candle's own operations, of which the composed form is made, give the weights no gradient then.
#[test]
fn a_norm_of_no_rows_is_empty_and_gives_its_weights_gradients_of_zero() {
    let variable = |shape: &[usize]| Var::from_tensor(&draw(shape)).unwrap();
    let (x, weight, bias) = (Var::from_tensor(&zeros(&[0, 5])).unwrap(), variable(&[5]), variable(&[5]));
    let y = layer_norm(&x, &weight, &bias, 1e-5).unwrap();
    assert_eq!(y.dims(), [0, 5]);
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&x).unwrap().dims(), [0, 5]);
    for parameter in [&weight, &bias] {
        assert_eq!(gradients.get(parameter).unwrap().to_vec1::<f32>().unwrap(), [0.0; 5]);
    }
}

#[test]
fn attention_over_no_tokens_is_empty_and_gives_its_weights_gradients_of_zero() {
    let variable = |shape: &[usize]| Var::from_tensor(&draw(shape)).unwrap();
    let (x, sequences) = (Var::from_tensor(&zeros(&[0, 6])).unwrap(), Sequences::new(&[0, 0]));
    let weights: [Var; 3] = std::array::from_fn(|_| variable(&[8, 6]));
    let biases: [Var; 3] = std::array::from_fn(|_| variable(&[8]));
    let maps = std::array::from_fn(|i| (weights[i].as_tensor(), biases[i].as_tensor()));
    let y = self_attention(&x, maps, 2, &sequences, None).unwrap();
    assert_eq!(y.dims(), [0, 8]);
    let gradients = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(gradients.get(&x).unwrap().dims(), [0, 6]);
    for parameter in weights.iter().chain(&biases) {
        let values = gradients.get(parameter).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(values.into_iter().all(|value| value == 0.0));
    }
}

#[test]
fn a_sequence_does_not_see_its_neighbours() {
    let weights: [Tensor; 3] = std::array::from_fn(|_| draw(&[8, 8]));
    let bias = zeros(&[8]);
    let maps = weights.each_ref().map(|weight| (weight, &bias));
    let x = draw(&[12, 8]);
    let together = self_attention(&x, maps, 2, &Sequences::new(&[5, 7]), None).unwrap();
    for (start, len) in [(0, 5), (5, 7)] {
        let alone = self_attention(&x.narrow(0, start, len).unwrap(), maps, 2, &Sequences::new(&[len]), None).unwrap();
        let part = together.narrow(0, start, len).unwrap();
        assert_eq!(alone.to_vec2::<f32>().unwrap(), part.to_vec2::<f32>().unwrap());
    }
}

#[test]
fn views_are_as_good_as_copies() {
    let view = draw(&[16, 9, 2]).narrow(2, 1, 1).unwrap().squeeze(2).unwrap().t().unwrap(); // (9, 16)
    assert!(!view.is_contiguous());
    let (weight, bias) = (draw(&[16]), draw(&[16]));
    let (square, wide) = (draw(&[16, 16]).t().unwrap(), draw(&[30, 16]));
    let outputs = |x: &Tensor| {
        let maps = [(&square, &bias); 3];
        let branch = Attention { projections: maps, heads: 4, mask: None, output: (&square, &bias) };
        let join = Join { mask: mask(), weight: &weight, bias: &bias, epsilon: 1e-5 };
        [
            layer_norm(x, &weight, &bias, 1e-5),
            add_norm(x, x, None, &weight, &bias, 1e-5),
            softmax(x),
            activate(x, Activation::Gelu),
            dropout(x, mask().unwrap()),
            embedding(x, &[8, 0, 8]),
            feed_forward(x, (&wide, &draw(&[30])), Activation::Relu, (&wide.t().unwrap(), &bias)),
            self_attention(x, maps, 4, &Sequences::new(&[4, 5]), None),
            attention_sublayer(x, branch, &Sequences::new(&[4, 5]), join),
            feed_forward_sublayer(x, (&wide, &draw(&[30])), Activation::Relu, (&wide.t().unwrap(), &bias), join),
        ]
        .map(|y| y.unwrap().to_vec2::<f32>().unwrap())
    };
    assert_eq!(outputs(&view), outputs(&view.copy().unwrap()));
}

#[test]
fn a_value_that_is_no_number_is_not_hidden() {
    let mut values = vec![1.0f32; 4 * 16];
    values[20] = f32::NAN;
    let x = Tensor::from_vec(values, (4, 16), &Device::Cpu).unwrap();
    let (weight, bias, square) = (draw(&[16]), zeros(&[16]), draw(&[16, 16]));
    let is_nan = |y: Result<Tensor, OpError>| -> Vec<bool> {
        y.unwrap().to_vec2::<f32>().unwrap().iter().map(|row| row.iter().any(|value| value.is_nan())).collect()
    };
    let second = [false, true, false, false];
    assert_eq!(is_nan(layer_norm(&x, &weight, &bias, 1e-5)), second);
    assert_eq!(is_nan(softmax(&x)), second);
    for kind in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
        assert_eq!(is_nan(activate(&x, kind)), second);
        assert_eq!(is_nan(feed_forward(&x, (&square, &bias), kind, (&square, &bias))), second);
    }
    // A key that is no number reaches all tokens of its sequence.
    let attention = self_attention(&x, [(&square, &bias); 3], 2, &Sequences::new(&[2, 2]), None);
    assert_eq!(is_nan(attention), [true, true, false, false]);
}

#[test]
fn constants_get_no_gradient_and_variables_do() {
    let (x, weight) = (draw(&[4, 6]), Var::from_tensor(&draw(&[6, 6])).unwrap());
    let (bias, constant, first) = (zeros(&[6]), draw(&[6, 6]), weight.get(0).unwrap());
    let attention = |value, output| Attention {
        projections: [(&constant, &bias), (&constant, &bias), (value, &bias)],
        heads: 2,
        mask: mask(),
        output: (output, &bias),
    };
    let join = |weight| Join { mask: mask(), weight, bias: &bias, epsilon: 1e-5 };
    let ys = [
        feed_forward(&x, (&weight, &bias), Activation::Gelu, (&constant, &bias)),
        feed_forward(&x, (&constant, &bias), Activation::Gelu, (&weight, &bias)),
        self_attention(&x, [(&weight, &bias), (&constant, &bias), (&constant, &bias)], 2, &Sequences::new(&[4]), None),
        self_attention(&x, [(&constant, &bias), (&constant, &bias), (&weight, &bias)], 2, &Sequences::new(&[4]), None),
        add_norm(&x, &weight.narrow(0, 0, 4).unwrap(), mask(), &bias, &bias, 1e-5),
        attention_sublayer(&x, attention(&constant, &weight), &Sequences::new(&[4]), join(&bias)),
        attention_sublayer(&x, attention(&weight, &constant), &Sequences::new(&[4]), join(&bias)),
        attention_sublayer(&x, attention(&constant, &constant), &Sequences::new(&[4]), join(&first)),
        feed_forward_sublayer(&x, (&constant, &bias), Activation::Gelu, (&weight, &bias), join(&bias)),
        feed_forward_sublayer(&x, (&constant, &bias), Activation::Gelu, (&constant, &bias), join(&first)),
    ];
    for y in ys {
        let gradients = y.unwrap().sum_all().unwrap().backward().unwrap();
        assert!(gradients.get(&weight).is_some());
        assert!([&x, &bias, &constant].into_iter().all(|tensor| gradients.get(tensor).is_none()));
    }
}

#[test]
fn arguments_that_do_not_fit_are_named() {
    let (x, square, bias) = (zeros(&[5, 6]), zeros(&[6, 6]), zeros(&[6]));
    let maps = [(&square, &bias); 3];
    let message = |y: Result<Tensor, OpError>| y.unwrap_err().to_string();
    assert_eq!(
        message(self_attention(&x, maps, 4, &Sequences::new(&[5]), None)),
        "self_attention: 4 heads do not divide a width of 6"
    );
    assert_eq!(
        message(self_attention(&x, maps, 2, &Sequences::new(&[5, 1]), None)),
        "self_attention: the sequences have 6 rows together, but the input has 5"
    );
    assert_eq!(
        message(embedding(&square, &[0, 5, 6, 9])),
        "embedding: number 6, at place 2, is not below 6, the rows of the table"
    );
    assert_eq!(
        message(layer_norm(&x, &zeros(&[5]), &bias, 1e-5)),
        "layer_norm: weight and bias must have the shape [6], but one has the shape [5]"
    );
    assert_eq!(
        message(add_norm(&x, &square, None, &bias, &bias, 1e-5)),
        "layer_norm: the branch must have the shape [5, 6] of the input, but has the shape [6, 6]"
    );
    let join = |weight| Join { mask: None, weight, bias: &bias, epsilon: 1e-5 };
    let attention = |output| Attention { projections: maps, heads: 2, mask: None, output: (output, &bias) };
    let (five, sequences) = (zeros(&[5]), Sequences::new(&[5]));
    let (wide, narrow) = (zeros(&[8, 6]), zeros(&[6, 7]));
    assert_eq!(
        message(attention_sublayer(&x, Attention { heads: 4, ..attention(&square) }, &sequences, join(&bias))),
        "self_attention: 4 heads do not divide a width of 6"
    );
    assert_eq!(
        message(attention_sublayer(
            &x,
            Attention { output: (&wide, &zeros(&[8])), ..attention(&square) },
            &sequences,
            join(&bias)
        )),
        "attention_sublayer: the branch must have the shape [5, 6] of the input, but has the shape [5, 8]"
    );
    assert!(matches!(
        attention_sublayer(&x, attention(&narrow), &sequences, join(&bias)),
        Err(OpError::Channels { op: "attention_sublayer", input: 6, weight: 7 })
    ));
    assert!(matches!(
        attention_sublayer(&x, attention(&square), &sequences, join(&five)),
        Err(OpError::ByFeature { .. })
    ));
    assert_eq!(
        message(feed_forward_sublayer(&x, (&square, &bias), Activation::Relu, (&wide, &zeros(&[8])), join(&bias))),
        "feed_forward_sublayer: the branch must have the shape [5, 6] of the input, but has the shape [5, 8]"
    );
    assert!(matches!(
        feed_forward(&x, (&wide, &zeros(&[8])), Activation::Relu, (&narrow, &bias)),
        Err(OpError::Channels { input: 8, weight: 7, .. })
    ));
    assert!(matches!(feed_forward(&x, (&wide, &bias), Activation::Relu, (&narrow, &bias)), Err(OpError::Bias { .. })));
    assert!(matches!(layer_norm(&zeros(&[]), &bias, &bias, 1e-5), Err(OpError::Rank { .. })));
    assert!(matches!(softmax(&zeros(&[])), Err(OpError::Rank { .. })));
    assert!(matches!(embedding(&x.unsqueeze(0).unwrap(), &[0]), Err(OpError::Rank { .. })));
    for probability in [1.0, -0.1, f64::NAN] {
        assert!(matches!(Mask::new(probability, 0), Err(OpError::Probability { .. })));
    }
    assert_eq!(Mask::new(0.0, 0).unwrap(), None);
}
