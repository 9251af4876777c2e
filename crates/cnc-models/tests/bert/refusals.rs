//! What the models refuse, by name.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use cnc_models::{Bert, BertConfig, Error, Inputs, Mode, Model, Pooling, Registry, TextOptions, build, unpadded};

use super::common::{BERT, DISTILBERT, fresh, options};

fn message<T>(result: cnc_models::Result<T>) -> String {
    match result {
        Ok(_) => panic!("it should be refused"),
        Err(error) => error.to_string(),
    }
}

fn encode(ids: &[&[u32]], mask: &[&[u32]], types: &[&[u32]], pooling: Pooling) -> cnc_models::Result<Tensor> {
    let tensor = |rows: &[&[u32]]| Tensor::from_vec(rows.concat(), (rows.len(), rows[0].len()), &Device::Cpu).unwrap();
    let inputs = unpadded(&tensor(ids), &tensor(mask), &tensor(types))?;
    fresh(&options(BERT, pooling)).encode(&inputs, Mode::Eval)
}

#[test]
fn texts_that_the_model_is_not_made_for_are_named_with_their_row() {
    let ones = |len: usize| vec![1u32; len];
    let pooler = Pooling::Pooler;
    assert_eq!(
        message(encode(&[&ones(10)], &[&ones(10)], &[&ones(10)], pooler)),
        "text 0 of the batch is longer than the 9 tokens that the model takes; truncate it to these"
    );
    assert_eq!(
        message(encode(&[&[1, 2], &[3, 40]], &[&[1, 1], &[1, 1]], &[&[0, 0], &[0, 0]], pooler)),
        "text 1 of the batch has the token 40 at position 1, but the model has 40, from 0 on; take the tokenizer that \
         belongs to the model"
    );
    assert_eq!(
        message(encode(&[&[1, 2]], &[&[1, 1]], &[&[0, 2]], pooler)),
        "text 0 of the batch has the segment 2 at position 1, but the model has 2, from 0 on; take the tokenizer that \
         belongs to the model"
    );
    assert_eq!(
        message(encode(&[&[1, 2], &[3, 4]], &[&[1, 1], &[0, 0]], &[&[0, 0], &[0, 0]], pooler)),
        "text 1 of the batch has no tokens: its mask is 0 throughout; keep the tokens that mark start and end"
    );
    let padded_on_the_left = |pooling| encode(&[&[0, 2]], &[&[0, 1]], &[&[0, 0]], pooling);
    assert_eq!(
        message(padded_on_the_left(pooler)),
        "the first token of text 0 of the batch is masked, but the pooler reads it; pad on the right, or pool by mean"
    );
    assert_eq!(padded_on_the_left(Pooling::Mean).unwrap().dims(), [1, 12]);
    // An unknown token that the mask hides is padding like any other.
    assert!(encode(&[&[1, 99]], &[&[1, 0]], &[&[0, 9]], pooler).is_ok());
    assert!(matches!(encode(&[&[1, 2]], &[&[1]], &[&[0, 0]], pooler), Err(Error::TokenShape { .. })));
}

#[test]
fn images_are_refused_by_a_model_of_text() {
    let images = Inputs::Images(Tensor::zeros((1, 3, 32, 32), DType::F32, &Device::Cpu).unwrap());
    assert_eq!(
        message(fresh(&options(BERT, Pooling::Pooler)).encode(&images, Mode::Eval)),
        "bert takes text, found images; choose a model for this kind of data"
    );
}

#[test]
fn configurations_that_no_model_can_be_built_with_name_the_setting() {
    let parse = |config: &str, from: &str, to: &str| {
        assert!(config.contains(from));
        message(BertConfig::parse(&config.replace(from, to)))
    };
    let expected = "expected gelu, gelu_new, gelu_pytorch_tanh or relu";
    let swish = r#""hidden_act": "swish""#;
    assert_eq!(parse(BERT, r#""hidden_act": "gelu""#, swish), format!("config.json: hidden_act is swish, {expected}"));
    assert_eq!(
        parse(DISTILBERT, r#""activation": "gelu","#, ""),
        format!("config.json: activation is nothing, {expected}")
    );
    assert_eq!(
        parse(BERT, r#""num_attention_heads": 3"#, r#""num_attention_heads": 5"#),
        "config.json: num_attention_heads is 5, expected a number that divides the 12 units of hidden_size"
    );
    assert_eq!(
        parse(DISTILBERT, r#""n_heads": 3"#, r#""n_heads": 0"#),
        "config.json: n_heads is 0, expected 1 or more"
    );
    assert_eq!(
        parse(BERT, r#""hidden_dropout_prob": 0.1"#, r#""hidden_dropout_prob": 1.5"#),
        "config.json: a dropout probability is 1.5, expected at least 0 and below 1"
    );
    assert_eq!(
        parse(BERT, r#""model_type": "bert""#, r#""model_type": "roberta""#),
        "config.json: model_type is roberta, expected bert or distilbert"
    );
    assert!(parse(BERT, r#""vocab_size": 40, "#, "").contains("vocab_size"));
    assert!(message(BertConfig::parse("[1")).starts_with("config.json is no configuration of BERT or DistilBERT: "));
    assert!(message(BertConfig::read(Path::new("nowhere.json"))).starts_with("cannot read nowhere.json: "));
    let layers = |count: &str| parse(BERT, r#""num_hidden_layers": 2"#, &format!(r#""num_hidden_layers": {count}"#));
    assert!(
        layers("99999999999").ends_with("expected sizes that make at most 2147483648"),
        "{}",
        layers("99999999999")
    );
    assert!(
        layers("18446744073709551615").contains("the number of weights that its sizes make is 18446744073709551615")
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    std::fs::write(&file, BERT.replace("\"bert\"", "\"gpt2\"")).unwrap();
    assert!(message(BertConfig::read(&file)).starts_with(&format!("{}: model_type is gpt2", file.display())));
}

#[test]
fn keys_by_which_the_same_weights_mean_another_function_are_refused() {
    let object = |json: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).unwrap();
    let with = |config: &str, keys: &str| {
        let mut config = object(config);
        config.extend(object(&format!("{{ {keys} }}")));
        BertConfig::parse(&serde_json::Value::Object(config).to_string())
    };
    for (keys, words) in [
        (r#""is_decoder": true"#, &["is_decoder is true", "false"][..]),
        (r#""add_cross_attention": true"#, &["add_cross_attention is true"]),
        (r#""position_embedding_type": "relative_key""#, &["position_embedding_type is relative_key", "absolute"]),
        (r#""architectures": ["RobertaModel"]"#, &["architectures is RobertaModel", "begin with Bert"]),
        (r#""architectures": ["DistilBertModel"]"#, &["architectures is DistilBertModel"]),
        (r#""pruned_heads": {"0": [1]}"#, &["pruned_heads"]),
        (r#""quantization_config": {"bits": 8}"#, &["quantization_config"]),
    ] {
        let message = message(with(BERT, keys));
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
    for keys in [
        r#""is_decoder": false, "add_cross_attention": null, "position_embedding_type": "absolute", "pruned_heads": {}"#,
        r#""architectures": ["BertForMaskedLM"]"#,
    ] {
        assert_eq!(with(BERT, keys).unwrap(), BertConfig::parse(BERT).unwrap());
    }
    assert!(with(DISTILBERT, r#""architectures": ["DistilBertForMaskedLM"]"#).is_ok());
}

#[test]
fn a_configuration_without_model_type_is_of_its_architectures_or_told_the_line() {
    let untyped = BERT.replace(r#""model_type": "bert","#, "");
    let without = untyped.replace(r#", "architectures": ["BertForSequenceClassification"]"#, "");
    assert!(without.len() < untyped.len() && untyped.len() < BERT.len());
    let error = message(BertConfig::parse(&without));
    assert!(error.contains(r#"model_type is nothing"#) && error.contains(r#""model_type": "bert","#), "{error}");
    let named = without.replacen('{', r#"{ "architectures": ["BertForSequenceClassification"], "#, 1);
    let config = BertConfig::parse(&named).unwrap();
    assert!(config.notes()[0].contains("has no model_type") && config.notes()[0].contains("BertForSequence"));
    assert_eq!(config.architecture(), cnc_models::Architecture::Bert);
    for other in ["roberta", "deberta-v2", "electra", "xlm-roberta", "albert"] {
        let error = message(BertConfig::parse(&BERT.replace(r#""bert""#, &format!("\"{other}\""))));
        assert_eq!(error, format!("config.json: model_type is {other}, expected bert or distilbert"));
    }
}

#[test]
fn the_configuration_of_an_old_checkpoint_takes_what_it_leaves_open_from_hugging_face() {
    let mut old: serde_json::Value = serde_json::from_str(BERT).unwrap();
    for key in ["pad_token_id", "layer_norm_eps", "initializer_range", "position_embedding_type"] {
        old.as_object_mut().unwrap().remove(key);
    }
    let config = BertConfig::parse(&old.to_string()).unwrap();
    old["layer_norm_eps"] = 1e-12.into();
    old["initializer_range"] = 0.02.into();
    for padding in [0.into(), 3.into(), serde_json::Value::Null] {
        old["pad_token_id"] = padding;
        assert_eq!(BertConfig::parse(&old.to_string()).unwrap(), config);
    }
}

#[test]
fn models_are_built_by_the_function_for_their_kind_of_data() {
    let text = options(BERT, Pooling::Pooler);
    let models = Registry::builtin();
    assert_eq!(message(build("bert", 2, 0, &Device::Cpu)), "bert is a model of text: build it with build_text");
    assert_eq!(
        message(models.build_text("lenet", 2, 0, &Device::Cpu, &text)),
        "lenet is a model of images: build it with build"
    );
    assert!(message(models.build_text("brt", 2, 0, &Device::Cpu, &text)).contains("did you mean \"bert\""));
    assert!(matches!(Bert::new(1, 0, &Device::Cpu, &text), Err(Error::TooFewClasses { found: 1 })));
    let misspelt = TextOptions { freeze: vec!["encoder.layer.0-2".to_owned()], ..text };
    assert_eq!(
        message(Bert::new(2, 0, &Device::Cpu, &misspelt)),
        "freeze=encoder.layer.0-2: no variable starts with \"encoder.layer.2\"; choose from classifier, embeddings, \
         encoder.layer.0-1, pooler or parts of these"
    );
}
