//! Texts that are longer than the model sees, and tokenizers that do not fit: told wherever a figure is.

use std::fs;

use cnc_tests::Workbench;
use cnc_tests::texts::model;

/// A hundred texts, 40 of them longer than 40 tokens, the longest of 700 words: 702 tokens with [CLS] and [SEP].
fn long() -> Workbench {
    let bench = Workbench::new();
    model(&bench.file("model"));
    let mut table = "text,y,split\n".to_owned();
    for row in 0..100 {
        let words = match row {
            0 => 700,
            1..40 => 60 + row,
            _ => 5 + row % 20,
        };
        let split = [0, 0, 0, 1, 2][row % 5];
        let last = ["stupid", "thanks"][row % 2];
        table += &format!("{} {last},{},{split}\n", "the ".repeat(words - 1).trim_end(), row % 2);
    }
    fs::create_dir(bench.file("tt")).unwrap();
    fs::write(bench.file("tt/texts.csv"), table).unwrap();
    let manifest = r#"
        name = "tt"
        kind = "text"
        input = { column = "text", max_length = 40 }
        class = { column = "y", names = ["rude", "kind"] }
        [splits]
        column = "split"
        files = ["texts.csv"]
        train = { values = [0] }
        validation = { values = [1] }
        test = { values = [2] }
    "#;
    fs::write(bench.file("tt/dataset.toml"), manifest).unwrap();
    bench
}

const SHORT: &[&str] = &["--method", "erm", "--set", "batch_size=16", "--set", "epochs=1"];

fn train(bench: &Workbench, out: &str, more: &[&str]) -> cnc_tests::Outcome {
    bench.run(&[&["tt/dataset.toml", "--init", "model", "--out", out], SHORT, more].concat())
}

#[test]
fn texts_that_are_cut_are_counted_in_check_run_report_results_and_predict() {
    let bench = long();
    let words = "40 of 100 texts (40 %) are cut to 40 tokens, the longest has 702";
    let checked = bench.run(&["check", "tt/dataset.toml", "--tokenizer", "model"]).success();
    assert!(checked.stderr.contains(words), "{}", checked.stderr);
    // Twice: the second time the tokens come from the cache.
    for out in ["run", "again"] {
        let outcome = train(&bench, out, &[]).success();
        assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
        assert!(outcome.stdout.contains(words), "{}", outcome.stdout);
        assert!(bench.json(&format!("{out}/results.json"))["data"].to_string().contains(words));
        assert!(String::from_utf8(bench.read(&format!("{out}/report.html"))).unwrap().contains(words));
    }
    // Elsewhere, without the data, and as long as the run's.
    fs::create_dir(bench.file("elsewhere")).unwrap();
    fs::rename(bench.file("run"), bench.file("elsewhere/run")).unwrap();
    fs::rename(bench.file("tt/texts.csv"), bench.file("texts.csv")).unwrap();
    fs::remove_dir_all(bench.file("tt")).unwrap();
    let outcome = bench.run(&["predict", "elsewhere/run", "texts.csv", "--column", "text"]).success();
    let lines: Vec<serde_json::Value> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let cut: Vec<u64> = lines.iter().filter_map(|line| line["cut_from"].as_u64()).collect();
    assert_eq!((lines.len(), cut.len(), cut[0], cut[1]), (100, 40, 702, 63));
    let words = "40 of 100 texts were cut to 40 tokens, as the model was trained; the longest has 702";
    assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
}

#[test]
fn more_tokens_than_the_model_has_positions_are_refused_wherever_the_tokenizer_is_from() {
    let bench = long();
    train(&bench, "refused", &["--max-length", "4096"]).fails(1, &["max_length", "4096", "the model takes 64 tokens"]);
    fs::copy(bench.file("model/vocab.txt"), bench.file("vocab.txt")).unwrap();
    let outcome = train(&bench, "refused", &["--max-length", "65", "--tokenizer", "vocab.txt"]);
    outcome.fails(2, &["--max-length 65 is too long", "takes 64 tokens"]);
    assert!(!bench.file("refused").exists());
}

#[test]
fn a_tokenizer_that_does_not_fit_is_refused_or_its_doubt_told() {
    let bench = long();
    let settings = bench.file("model/tokenizer_config.json");
    for class in ["BertJapaneseTokenizer", "XLMRobertaTokenizer", "GPT2Tokenizer", "RobertaTokenizerFast"] {
        fs::write(&settings, format!(r#"{{ "tokenizer_class": "{class}" }}"#)).unwrap();
        train(&bench, "refused", &[]).fails(1, &["tokenizer_config.json", class, "vocab.txt"]);
    }
    assert!(!bench.file("refused").exists());
    for class in ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "PreTrainedTokenizerFast"] {
        fs::write(&settings, format!(r#"{{ "tokenizer_class": "{class}" }}"#)).unwrap();
        let checked = bench.run(&["check", "tt/dataset.toml", "--tokenizer", "model"]).success();
        assert!(!checked.stderr.contains("vocabulary does not have"), "{}", checked.stderr);
    }
    fs::remove_file(&settings).unwrap();
    // A cased vocabulary, and nothing that says so.
    let vocabulary = String::from_utf8(bench.read("model/vocab.txt")).unwrap();
    fs::write(bench.file("model/vocab.txt"), vocabulary.clone() + "Paris\nBerlin\n").unwrap();
    train(&bench, "cased", &[]).success();
    let data = bench.json("cased/results.json")["data"].to_string();
    assert!(data.contains("2 tokens of") && data.contains("do_lower_case"), "{data}");
    // A vocabulary of another language.
    let letters: String =
        vocabulary.lines().filter(|token| token.starts_with('[')).map(|token| format!("{token}\n")).collect();
    fs::write(bench.file("model/vocab.txt"), letters + "stupid\n").unwrap();
    train(&bench, "foreign", &[]).success();
    let data = bench.json("foreign/results.json")["data"].to_string();
    assert!(data.contains("% of the texts' tokens are words that the vocabulary does not have"), "{data}");
}
