//! Weights in the forms that people have them in: each starts the run that the plain file starts, or is refused by name
//! before any data is read.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use cnc_models::{Bert, BertConfig, Model, TextOptions, build};
use cnc_tests::checkpoints::{Tensors, Value, save_safetensors, tensors, torch_save};
use cnc_tests::texts::{CONFIG, comments};
use cnc_tests::{Outcome, Workbench};

/// The tensors of a model with drawn weights.
fn drawn(model: &dyn Model) -> Tensors {
    model.parameters().named().unwrap().into_iter().collect()
}

fn lenet(classes: usize) -> Tensors {
    drawn(&*build("lenet", classes, 7, &Device::Cpu).unwrap())
}

fn bert(classes: usize) -> Tensors {
    let options = TextOptions::new(BertConfig::parse(CONFIG).unwrap());
    drawn(&Bert::new(classes, 7, &Device::Cpu, &options).unwrap())
}

fn named(tensors: &Tensors, name: impl Fn(&str) -> String) -> Tensors {
    tensors.iter().map(|(old, tensor)| (name(old), tensor.clone())).collect()
}

fn prefixed(tensors: &Tensors, prefix: &str) -> Tensors {
    named(tensors, |name| format!("{prefix}{name}"))
}

/// One short run on digits that starts from these weights.
fn digits(bench: &Workbench, init: &str, out: &str) -> Outcome {
    let short = ["--method", "erm", "--limit", "20", "--set", "epochs=1", "--out", out, "--init", init];
    bench.run(&[&["digits"], &short[..]].concat())
}

/// One short run on comments.
fn texts(bench: &Workbench, init: &str, out: &str) -> Outcome {
    let short =
        ["--method", "erm", "--limit", "20", "--set", "epochs=1", "--set", "batch_size=8", "--max-length", "40"];
    bench.run(&[&["comments/dataset.toml", "--out", out, "--init", init], &short[..]].concat())
}

/// What a run says of its weights.
fn said(bench: &Workbench, run: &str) -> String {
    bench.json(&format!("{run}/results.json"))["weights"]
        .as_array()
        .unwrap()
        .iter()
        .map(|note| format!("{note}\n"))
        .collect()
}

/// Refused, and not because of the data: there is no run folder, and nothing was tokenised or counted before.
fn refused(bench: &Workbench, outcome: &Outcome, words: &[&str]) {
    outcome.fails(1, words);
    assert!(!outcome.stderr.contains("training, "), "the data was read first: {}", outcome.stderr);
    assert!(!bench.file("refused").exists(), "a run folder was made for a run that never was");
}

#[test]
fn an_image_model_starts_from_every_form_of_a_file_as_from_the_plain_one() {
    let bench = Workbench::new();
    let lenet = lenet(5);
    save_safetensors(&lenet, &bench.file("plain.safetensors"));
    digits(&bench, "plain.safetensors", "plain").success();
    let expected = bench.read("plain/model.safetensors");
    assert!(
        said(&bench, "plain").contains("10 of 10 tensors of plain.safetensors loaded"),
        "{}",
        said(&bench, "plain")
    );
    let starts = |init: &str, words: &[&str]| {
        let out = init.replace('#', "-") + ".run";
        digits(&bench, init, &out).success();
        assert!(bench.read(&format!("{out}/model.safetensors")) == expected, "{init}: other weights");
        let said = said(&bench, &out);
        assert!(words.iter().all(|word| said.contains(word)), "{init}: {words:?} are not in {said}");
    };
    for prefix in ["_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.", "backbone.", "odd.one."] {
        let word = format!("prefix `{prefix}` left out");
        let name = format!("with-{prefix}safetensors");
        save_safetensors(&prefixed(&lenet, prefix), &bench.file(&name));
        starts(&name, &["10 of 10 tensors", &word]);
        let name = format!("with-{prefix}pth");
        torch_save(&Value::Tensors(prefixed(&lenet, prefix)), &bench.file(&name));
        starts(&name, &["10 of 10 tensors", &word]);
    }
    // Lightning's, with what it keeps beside the weights.
    let text = |key: &str| key.to_owned();
    let lightning = Value::Dict(vec![
        (text("epoch"), Value::Number(3)),
        (text("state_dict"), Value::Tensors(prefixed(&lenet, "model."))),
        (text("hyper_parameters"), Value::Object("argparse", "Namespace")),
        (text("optimizer_states"), Value::Dict(vec![(text("state"), Value::Number(0))])),
    ]);
    torch_save(&lightning, &bench.file("lightning.ckpt"));
    starts("lightning.ckpt", &["the state dict is that under `state_dict`", "prefix `model.` left out"]);
    let nested =
        Value::Dict(vec![(text("model_state_dict"), Value::Tensors(lenet.clone())), (text("epoch"), Value::Number(1))]);
    torch_save(&nested, &bench.file("nested.pth"));
    starts("nested.pth", &["`model_state_dict`"]);
    // Two state dicts: the model's by rule, with the other named, whatever their order; the other where it is asked for.
    let zeros: Tensors = lenet.iter().map(|(name, tensor)| (name.clone(), tensor.zeros_like().unwrap())).collect();
    for (file, first, second) in [("ema.pth", "model_ema", "model"), ("model.pth", "model", "model_ema")] {
        let of = |key: &str| Value::Tensors(if key == "model" { lenet.clone() } else { zeros.clone() });
        torch_save(&Value::Dict(vec![(text(first), of(first)), (text(second), of(second))]), &bench.file(file));
        starts(file, &["the state dict is that under `model`", "`model_ema` with 10 tensors", "`#model_ema` behind"]);
        digits(&bench, &format!("{file}#model_ema"), &format!("{file}-ema")).success();
        assert!(bench.read(&format!("{file}-ema/model.safetensors")) != expected);
        let other = format!("{file}#nothing");
        refused(&bench, &digits(&bench, &other, "refused"), &["no state dict `nothing`", "`#model_ema` (10 tensors)"]);
    }
    let twins = Value::Dict(vec![(text("one"), Value::Tensors(lenet.clone())), (text("two"), Value::Tensors(zeros))]);
    torch_save(&twins, &bench.file("twins.pth"));
    refused(&bench, &digits(&bench, "twins.pth", "refused"), &["twins.pth", "`#one` (10 tensors)", "`#two`"]);
    starts("twins.pth#one", &["`one`"]);
}

#[test]
fn what_does_not_fit_an_image_model_is_named() {
    let bench = Workbench::new();
    let lenet = lenet(5);
    let half: Tensors =
        named(&lenet, |name| if name.starts_with("conv") { format!("model.{name}") } else { name.to_owned() });
    save_safetensors(&half, &bench.file("half.safetensors"));
    let outcome = digits(&bench, "half.safetensors", "refused");
    refused(
        &bench,
        &outcome,
        &["4 of 10 tensors have `model.`", "model.conv1.bias", "expected conv1.bias", "taken off"],
    );
    fs::write(bench.file("page.pth"), "<!DOCTYPE html><html>quota exceeded</html>").unwrap();
    refused(
        &bench,
        &digits(&bench, "page.pth", "refused"),
        &["page.pth", "web page (HTML)", "download the file again"],
    );
    save_safetensors(&Tensors::new(), &bench.file("empty.safetensors"));
    refused(&bench, &digits(&bench, "empty.safetensors", "refused"), &["empty.safetensors", "without any tensor"]);
    torch_save(&Value::Object("mymodule", "Net"), &bench.file("whole.pth"));
    refused(&bench, &digits(&bench, "whole.pth", "refused"), &["whole.pth", "mymodule.Net", "model.state_dict()"]);
    // A backbone with another head: what is not there is drawn, and said.
    let backbone: Tensors = lenet.iter().filter(|(name, _)| !name.starts_with("fc.")).cloned().collect();
    let mut parts = prefixed(&backbone, "backbone.");
    save_safetensors(&parts, &bench.file("backbone.safetensors"));
    digits(&bench, "backbone.safetensors", "backbone").success();
    assert!(said(&bench, "backbone").contains("has no classifier `fc`"), "{}", said(&bench, "backbone"));
    parts.push(("head.weight".to_owned(), Tensor::zeros((7, 84), DType::F32, &Device::Cpu).unwrap()));
    save_safetensors(&parts, &bench.file("head.safetensors"));
    let outcome = digits(&bench, "head.safetensors", "refused");
    refused(&bench, &outcome, &["8 of 9 tensors have `backbone.`", "not known with or without it: head.weight"]);
    // A head for other classes is there, and not "not in the file".
    save_safetensors(&self::lenet(7), &bench.file("seven.safetensors"));
    digits(&bench, "seven.safetensors", "seven").success();
    let seven = said(&bench, "seven");
    assert!(seven.contains("the classifier `fc` is for 7 classes and left out; that for the 5 here"), "{seven}");
    assert!(seven.contains("8 of 10 tensors"), "{seven}");
    // Variances that no batch has.
    let resnet = drawn(&*build("resnet18", 5, 7, &Device::Cpu).unwrap());
    let negative = |(name, tensor): &(String, Tensor)| match name.as_str() {
        "layer1.0.bn1.running_var" => (name.clone(), tensor.affine(-1.0, 0.0).unwrap()),
        _ => (name.clone(), tensor.clone()),
    };
    save_safetensors(&resnet.iter().map(negative).collect(), &bench.file("negative.safetensors"));
    let short = ["digits", "--model", "resnet18", "--method", "erm", "--limit", "20", "--out", "refused"];
    let outcome = bench.run(&[&short[..], &["--init", "negative.safetensors"]].concat());
    refused(&bench, &outcome, &["negative.safetensors", "variances below 0 in layer1.0.bn1.running_var"]);
}

/// The folder of a small BERT with weights in these files.
fn checkpoint(bench: &Workbench, name: &str, write: impl FnOnce(&Path)) {
    let folder = bench.file(name);
    fs::create_dir(&folder).unwrap();
    for file in ["config.json", "vocab.txt"] {
        fs::copy(bench.file("model").join(file), folder.join(file)).unwrap();
    }
    write(&folder);
}

const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// Two shards and their index.
fn shards(tensors: &Tensors, folder: &Path) {
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let mut map = serde_json::Map::new();
    for (file, part) in SHARDS.into_iter().zip([first, second]) {
        save_safetensors(&part.to_vec(), &folder.join(file));
        map.extend(part.iter().map(|(name, _)| (name.clone(), file.into())));
    }
    let index = serde_json::json!({ "metadata": { "total_size": 0 }, "weight_map": map });
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn a_text_model_starts_from_every_form_of_a_checkpoint_as_from_the_plain_one() {
    let bench = comments("60");
    let bert = bert(2);
    checkpoint(&bench, "plain", |folder| save_safetensors(&bert, &folder.join("model.safetensors")));
    texts(&bench, "plain", "plain-run").success();
    let expected = bench.read("plain-run/model.safetensors");
    let starts = |name: &str, words: &[&str]| {
        let out = format!("{name}-run");
        texts(&bench, name, &out).success();
        assert!(bench.read(&format!("{out}/model.safetensors")) == expected, "{name}: other weights");
        let said = said(&bench, &out);
        assert!(words.iter().all(|word| said.contains(word)), "{name}: {words:?} are not in {said}");
    };
    checkpoint(&bench, "bin", |folder| torch_save(&Value::Tensors(bert.clone()), &folder.join("pytorch_model.bin")));
    starts("bin", &["25 of 25 tensors of bin/pytorch_model.bin loaded"]);
    checkpoint(&bench, "shards", |folder| shards(&bert, folder));
    starts("shards", &["25 of 25 tensors of shards/model.safetensors.index.json loaded"]);
    for prefix in ["module.", "_orig_mod.", "my_encoder."] {
        let name = format!("prefix-{prefix}");
        checkpoint(&bench, &name, |folder| {
            save_safetensors(&prefixed(&bert, prefix), &folder.join("model.safetensors"))
        });
        starts(&name, &[&format!("prefix `{prefix}` left out")]);
    }
    // A stray second file: the rule says which counts.
    checkpoint(&bench, "two", |folder| {
        save_safetensors(&bert, &folder.join("model.safetensors"));
        torch_save(&Value::Tensors(bert.clone()), &folder.join("pytorch_model.bin"));
    });
    starts("two", &["its folder also holds pytorch_model.bin, which model.safetensors comes before"]);
    // A classifier for other classes is left out, and said.
    checkpoint(&bench, "five", |folder| save_safetensors(&self::bert(5), &folder.join("model.safetensors")));
    let five = bench.file("five/config.json");
    fs::write(&five, CONFIG.replacen('{', "{ \"num_labels\": 5,", 1)).unwrap();
    texts(&bench, "five", "five-run").success();
    let said = said(&bench, "five-run");
    assert!(said.contains("classifier `classifier` is for 5 classes and left out; that for the 2 here"), "{said}");
}

#[test]
fn a_checkpoint_that_is_not_whole_or_not_read_is_refused_before_the_data_is() {
    let bench = comments("60");
    let bert = bert(2);
    let refuses = |name: &str, write: &dyn Fn(&Path), words: &[&str]| {
        checkpoint(&bench, name, write);
        refused(&bench, &texts(&bench, name, "refused"), words);
    };
    refuses(
        "missing",
        &|folder| {
            shards(&bert, folder);
            fs::remove_file(folder.join(SHARDS[1])).unwrap();
        },
        &["missing/model.safetensors.index.json", "1 of its 2 files is not there", SHARDS[1], "copy or fetch it"],
    );
    refuses(
        "cut",
        &|folder| {
            shards(&bert, folder);
            let bytes = fs::read(folder.join(SHARDS[1])).unwrap();
            fs::write(folder.join(SHARDS[1]), &bytes[..bytes.len() - 1000]).unwrap();
        },
        &["cut/", SHARDS[1]],
    );
    refuses(
        "stray",
        &|folder| {
            shards(&bert, folder);
            let wide = vec![(
                "bert.pooler.dense.weight".to_owned(),
                Tensor::zeros((64, 64), DType::F32, &Device::Cpu).unwrap(),
            )];
            save_safetensors(&wide, &folder.join("model.safetensors"));
        },
        &[
            "stray/model.safetensors",
            "should have shape [32, 32] and has [64, 64]",
            "also holds model.safetensors.index.json",
            "--init",
        ],
    );
    refuses(
        "h5",
        &|folder| fs::write(folder.join("tf_model.h5"), b"\x89HDF\r\n\x1a\n").unwrap(),
        &["tf_model.h5", "TensorFlow", "from_tf=True"],
    );
    refuses(
        "empty",
        &|folder| save_safetensors(&Tensors::new(), &folder.join("model.safetensors")),
        &["without any tensor"],
    );
    refuses(
        "nought",
        &|folder| fs::write(folder.join("model.safetensors"), "").unwrap(),
        &["nought/model.safetensors", "an empty file"],
    );
    // None at all is a choice, and is said wherever a figure is.
    checkpoint(&bench, "none", |_| {});
    let outcome = texts(&bench, "none", "none-run").success();
    assert!(
        outcome.stderr.contains("warning: starting from scratch: no weights in none: drawn at random"),
        "{}",
        outcome.stderr
    );
    assert!(said(&bench, "none-run").contains("no weights in none: drawn at random from the seed"));
    assert!(String::from_utf8(bench.read("none-run/report.html")).unwrap().contains("no weights in none"));
}

#[test]
fn checkpoints_of_other_architectures_are_told_from_bert() {
    let bench = comments("60");
    let bert = bert(2);
    let config = |name: &str, from: &str, to: &str, tensors: &Tensors, words: &[&str]| {
        checkpoint(&bench, name, |folder| {
            save_safetensors(tensors, &folder.join("model.safetensors"));
            assert!(CONFIG.contains(from));
            fs::write(folder.join("config.json"), CONFIG.replace(from, to)).unwrap();
        });
        let outcome = texts(&bench, name, "refused");
        refused(&bench, &outcome, words);
    };
    let typed = r#""model_type": "bert","#;
    config("untyped", typed, "", &bert, &["untyped/config.json", "model_type is nothing", r#""model_type": "bert","#]);
    for other in ["roberta", "deberta-v2", "electra", "xlm-roberta"] {
        config(
            other,
            r#""bert""#,
            &format!("\"{other}\""),
            &bert,
            &[&format!("model_type is {other}"), "bert or distilbert"],
        );
    }
    let with = |keys: &str| format!("{typed} {keys},");
    config(
        "relative",
        typed,
        &with(r#""position_embedding_type": "relative_key""#),
        &bert,
        &["relative_key", "absolute"],
    );
    config("decoder", typed, &with(r#""is_decoder": true"#), &bert, &["is_decoder is true"]);
    config("silu", r#""hidden_act": "gelu""#, r#""hidden_act": "silu""#, &bert, &["hidden_act is silu", "gelu_new"]);
    let class = with(r#""architectures": ["RobertaModel"]"#);
    config("roberta-class", typed, &class, &bert, &["architectures is RobertaModel"]);
    // RoBERTa's tensors: with their prefix, and under the very names of BERT.
    let body: Tensors = bert.iter().filter(|(name, _)| name.starts_with("bert.")).cloned().collect();
    let roberta = named(&body, |name| name.replacen("bert.", "roberta.", 1));
    config("roberta-names", typed, typed, &roberta, &["another architecture", "`roberta.`", "roberta.embeddings"]);
    let bare = named(&body, |name| name.replacen("bert.", "", 1));
    let mut headed = bare.clone();
    headed.push(("lm_head.bias".to_owned(), Tensor::zeros(400, DType::F32, &Device::Cpu).unwrap()));
    config("roberta-head", typed, typed, &headed, &["weights of RoBERTa and not of BERT", "lm_head.bias"]);
    let padded = |(name, tensor): &(String, Tensor)| {
        let mut rows = tensor.clone();
        if name == "embeddings.position_embeddings.weight" {
            let zero = tensor.get(1).unwrap().zeros_like().unwrap().unsqueeze(0).unwrap();
            let parts = [tensor.narrow(0, 0, 1).unwrap(), zero, tensor.narrow(0, 2, 62).unwrap()];
            rows = Tensor::cat(&parts, 0).unwrap();
        }
        (name.clone(), rows)
    };
    let padded: Tensors = bare.iter().map(padded).collect();
    config(
        "roberta-bare",
        typed,
        typed,
        &padded,
        &["weights of RoBERTa and not of BERT", "row 1 of", "position_embeddings"],
    );
    let sizes = CONFIG.replace(r#""type_vocab_size": 2"#, r#""type_vocab_size": 1"#);
    checkpoint(&bench, "roberta-sizes", |folder| {
        fs::write(folder.join("config.json"), sizes.replace(r#""pad_token_id": 0"#, r#""pad_token_id": 1"#)).unwrap();
    });
    refused(
        &bench,
        &texts(&bench, "roberta-sizes", "refused"),
        &["type_vocab_size is 1 and pad_token_id 1", "RoBERTa's"],
    );
    // The same body without these signs is a BERT.
    checkpoint(&bench, "bare", |folder| save_safetensors(&bare, &folder.join("model.safetensors")));
    texts(&bench, "bare", "bare-run").success();
    assert_eq!(tensors(&bench.file("bare-run/model.safetensors")).len(), bert.len());
}

#[test]
fn weights_that_a_recipe_starts_from_and_that_are_not_here_are_told_beside_every_figure() {
    let bench = Workbench::new();
    bench.xtask(&["synth", "waterbirds", "--out", "birds", "--size", "60", "--side", "32"]).success();
    let short = ["--data", "birds", "--allow-count-mismatch", "--limit", "8", "--set", "batch_size=8"];
    let outcome =
        bench.run(&[&["waterbirds", "--method", "erm", "--set", "epochs=1", "--out", "run"], &short[..]].concat());
    let outcome = outcome.success();
    let words = "not on this machine";
    assert!(
        outcome.stderr.contains("warning: starting from scratch") && outcome.stderr.contains(words),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stdout.contains("drawn at random from the seed"), "{}", outcome.stdout);
    assert!(said(&bench, "run").contains(words) && said(&bench, "run").contains("drawn at random"));
    assert!(String::from_utf8(bench.read("run/report.html")).unwrap().contains(words));
    let compare = ["compare", "waterbirds", "--methods", "erm", "--seeds", "1", "--set", "epochs=1", "--out", "both"];
    bench.run(&[&compare[..], &short].concat()).success();
    assert!(bench.json("both/compare.json")["weights"].to_string().contains(words));
    assert!(String::from_utf8(bench.read("both/compare.md")).unwrap().contains(words));
}
