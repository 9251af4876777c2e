//! Comments in the place of CivilComments': the file of WILDS with its columns, lengths and shares about as they are there.
//!
//! What a comment says is learnable: toxic ones have rude words in them, civil ones kind words. Who it is about is a
//! shortcut: comments that mention an identity are toxic more often than others, some much more often.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use cnc_data::{Manifest, SplitName, builtin};
use indicatif::ProgressBar;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use toml::{Table, Value};

use super::{AT_ONCE, Amount};

const NAME: &str = "civilcomments";
const FILE: &str = "all_data_with_identities.csv";

/// An identity: its column, the share of comments that mention it, how many of these are toxic, and words for it.
struct Identity {
    column: &'static str,
    share: f64,
    toxic: f64,
    words: &'static str,
}

const IDENTITIES: [Identity; 8] = [
    Identity { column: "male", share: 0.11, toxic: 0.15, words: "man men he his father boys" },
    Identity { column: "female", share: 0.13, toxic: 0.14, words: "woman women she her mother girls" },
    Identity { column: "LGBTQ", share: 0.03, toxic: 0.27, words: "gay lesbian transgender" },
    Identity { column: "christian", share: 0.10, toxic: 0.09, words: "christian church catholic bishop" },
    Identity { column: "muslim", share: 0.05, toxic: 0.24, words: "muslim muslims islam mosque" },
    Identity { column: "other_religions", share: 0.02, toxic: 0.16, words: "jewish buddhist hindu temple" },
    Identity { column: "black", share: 0.04, toxic: 0.31, words: "black african blacks" },
    Identity { column: "white", share: 0.06, toxic: 0.28, words: "white caucasian whites" },
];
/// Toxic comments among those without an identity.
const TOXIC: f64 = 0.08;
/// Comments without annotation of identities.
const NOT_ANNOTATED: f64 = 0.02;
/// Median and spread of the number of words: the logarithm is normal.
const WORDS: (f64, f64) = (36.0, 0.85);
/// Words of the shortest and of the longest comment.
const RANGE: (f64, f64) = (1.0, 420.0);
/// Columns of shares that the manifest does not read.
const OTHERS: [&str; 6] = ["severe_toxicity", "obscene", "threat", "insult", "identity_attack", "sexual_explicit"];

const RUDE: &str = "stupid idiot idiots moron fool liar pathetic garbage disgusting dumb clown ridiculous trash coward";
const KIND: &str = "thanks agree interesting thoughtful respectfully hopefully reasonable helpful kindly appreciate";
const COMMON: &str = "the of to and a in is that it for on as with this be are was have not they you we will can \
    people about so what there if just more one would who from by at an or all but our has their when like do up out \
    government city state tax taxes money school schools vote voters election law police court housing road traffic news \
    article paper story comment years year time day job work workers pay price oil energy water health care insurance \
    country world province company business plan problem question answer issue point fact evidence opinion history family \
    children house public private federal local budget cost rate bill union minister mayor president party leader \
    unsustainable gentrification accountability infrastructure constitutional disproportionately";

struct Words {
    common: Vec<&'static str>,
    rude: Vec<&'static str>,
    kind: Vec<&'static str>,
    identities: Vec<Vec<&'static str>>,
}

impl Words {
    fn new() -> Self {
        let list = |text: &'static str| text.split_whitespace().collect::<Vec<_>>();
        let identities = IDENTITIES.iter().map(|identity| list(identity.words)).collect();
        Self { common: list(COMMON), rude: list(RUDE), kind: list(KIND), identities }
    }
}

pub(super) fn run(out: &Path, amount: &Amount) -> Result<()> {
    ensure!(amount.side.is_none(), "--side is of pictures; these are comments");
    let manifest = Manifest::open(NAME)?;
    let rows = splits(&manifest, amount)?;
    let path = out.join(FILE);
    let mut table = csv::Writer::from_path(&path).with_context(|| format!("creating {}", path.display()))?;
    let mut header = vec!["", "id", "comment_text", "split", "toxicity"];
    header.extend(OTHERS);
    header.extend(IDENTITIES.iter().map(|identity| identity.column));
    header.push("identity_any");
    table.write_record(&header)?;
    let words = Words::new();
    let progress = ProgressBar::new(rows.len() as u64);
    for (chunk, splits) in rows.chunks(AT_ONCE).enumerate() {
        let numbered: Vec<(usize, SplitName)> = (chunk * AT_ONCE..).zip(splits.iter().copied()).collect();
        let record = |(number, split): &(usize, SplitName)| {
            let rng = &mut ChaCha8Rng::seed_from_u64(amount.seed);
            rng.set_stream(*number as u64 + 1);
            record(*number, *split, &words, rng)
        };
        for record in numbered.par_iter().map(record).collect::<Vec<_>>() {
            table.write_record(&record)?;
        }
        progress.inc(splits.len() as u64);
    }
    table.flush()?;
    progress.finish_and_clear();
    let hub = out.join("datasets/shlomihod/civil-comments-wilds");
    fs::create_dir_all(&hub)?;
    let copy = hub.join(FILE);
    // Where the file system has no links, the file is there twice.
    fs::hard_link(&path, &copy).or_else(|_| fs::copy(&path, &copy).map(drop))?;
    fs::write(out.join("dataset.toml"), own_manifest(&rows, amount)?)?;
    println!("{} comments in {}", rows.len(), out.display());
    Ok(())
}

/// The split of each row, in order: in the real file they are mixed.
fn splits(manifest: &Manifest, amount: &Amount) -> Result<Vec<SplitName>> {
    use rand::seq::SliceRandom;

    let expected = |split| manifest.expected_rows(split).context("the manifest has no number of rows for a split");
    let training = expected(SplitName::Train)?;
    let size = amount.size.unwrap_or(training);
    ensure!(size >= 8, "--size {size} is less than one training row for each of 8 identities");
    let mut rows = Vec::new();
    for split in SplitName::ALL {
        let count = ((expected(split)? * size) as f64 / training as f64).round() as usize;
        rows.extend(std::iter::repeat_n(split, count.max(8)));
    }
    rows.shuffle(&mut ChaCha8Rng::seed_from_u64(amount.seed));
    Ok(rows)
}

fn record(number: usize, split: SplitName, words: &Words, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mentioned: Vec<bool> = IDENTITIES.iter().map(|identity| rng.random_bool(identity.share)).collect();
    let toxic =
        IDENTITIES.iter().zip(&mentioned).filter(|(_, mentioned)| **mentioned).map(|(identity, _)| identity.toxic);
    let is_toxic = rng.random_bool(toxic.fold(TOXIC, f64::max));
    let is_annotated = !rng.random_bool(NOT_ANNOTATED);
    let share = |has: bool, rng: &mut ChaCha8Rng| {
        // Ten annotators: at least half of them, or less.
        let votes = if has { rng.random_range(5..=10) } else { *[0, 0, 0, 0, 1, 2, 4].choose(rng).unwrap_or(&0) };
        format!("{}", f64::from(votes) / 10.0)
    };
    let name = match split {
        SplitName::Train => "train",
        SplitName::Validation => "val",
        SplitName::Test => "test",
    };
    let mut record = vec![
        number.to_string(),
        (239_000 + number).to_string(),
        text(is_toxic, &mentioned, words, rng),
        name.to_string(),
        share(is_toxic, rng),
    ];
    record.extend(OTHERS.map(|_| share(false, rng)));
    record.extend(mentioned.iter().map(|has| if is_annotated { share(*has, rng) } else { String::new() }));
    let any = if mentioned.contains(&true) { "1.0" } else { "0.0" };
    record.push(if is_annotated { any.to_string() } else { String::new() });
    record
}

/// A comment of some sentences.
fn text(is_toxic: bool, mentioned: &[bool], words: &Words, rng: &mut ChaCha8Rng) -> String {
    let (median, spread) = WORDS;
    let count = (median * (spread * normal(rng)).exp()).clamp(RANGE.0, RANGE.1) as usize;
    let mut drawn: Vec<&str> = (0..count).filter_map(|_| words.common.choose(rng).copied()).collect();
    let mut put = |list: &[&'static str], rng: &mut ChaCha8Rng| {
        if let Some(word) = list.choose(rng) {
            let place = rng.random_range(0..=drawn.len());
            drawn.insert(place, word);
        }
    };
    // One in twenty does not show what it is by its words.
    let telling = if is_toxic == rng.random_bool(0.95) { &words.rude } else { &words.kind };
    for _ in 0..=count / 15 {
        put(telling, rng);
    }
    for (list, _) in words.identities.iter().zip(mentioned).filter(|(_, mentioned)| **mentioned) {
        for _ in 0..=count / 40 {
            put(list, rng);
        }
    }
    punctuate(&drawn, rng)
}

/// Sentences with what makes a table of text hard to read: quotes, commas, line breaks, signs outside ASCII.
fn punctuate(words: &[&str], rng: &mut ChaCha8Rng) -> String {
    let mut text = String::new();
    let mut left: usize = 0;
    for (index, word) in words.iter().enumerate() {
        if left == 0 {
            let mut letters = word.chars();
            text.extend(letters.next().into_iter().flat_map(char::to_uppercase));
            text.push_str(letters.as_str());
            left = rng.random_range(4..18);
        } else if rng.random_bool(0.01) {
            text += &format!("\"{word}\"");
        } else {
            text.push_str(word);
        }
        left -= 1;
        let is_last = index + 1 == words.len();
        if left == 0 || is_last {
            let ends = [".", ".", ".", "!", "?", "...", "!!!", ". 😀", ". — really?"];
            text.push_str(ends.choose(rng).copied().unwrap_or("."));
        } else if rng.random_bool(0.06) {
            text.push(',');
        }
        if !is_last {
            text.push_str(if left == 0 && rng.random_bool(0.1) { "\n\n" } else { " " });
        }
    }
    text
}

/// A standard normal number, by Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (radius, angle): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// A manifest for the folder: the built-in one, with the numbers that are here.
fn own_manifest(rows: &[SplitName], amount: &Amount) -> Result<String> {
    let mut table: Table = builtin::manifest(NAME).context("no such dataset")?.parse()?;
    table.remove("source");
    table.insert("name".to_string(), format!("{NAME}-drawn").into());
    if let Some(Value::Table(splits)) = table.get_mut("splits") {
        for split in SplitName::ALL {
            if let Some(Value::Table(rule)) = splits.get_mut(split.as_str()) {
                let count = rows.iter().filter(|row| **row == split).count();
                rule.insert("rows".to_string(), i64::try_from(count)?.into());
            }
        }
    }
    let head = format!("# Drawn comments in the place of {NAME}; seed {}.\n", amount.seed);
    Ok(head + &toml::to_string(&table)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize) -> Vec<Vec<String>> {
        let words = Words::new();
        let one = |number| {
            let rng = &mut ChaCha8Rng::seed_from_u64(1);
            rng.set_stream(number as u64 + 1);
            record(number, SplitName::Train, &words, rng)
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn comments_are_about_as_long_as_real_ones_and_identities_are_toxic_more_often() {
        let records = records(4_000);
        let mut lengths: Vec<usize> = records.iter().map(|record| record[2].split_whitespace().count()).collect();
        lengths.sort_unstable();
        assert!((30..48).contains(&lengths[2_000]), "median {}", lengths[2_000]);
        assert!(*lengths.last().unwrap() > 300, "longest {:?}", lengths.last());
        let share = |of: &dyn Fn(&Vec<String>) -> bool| {
            let rows: Vec<&Vec<String>> = records.iter().filter(|record| of(record)).collect();
            rows.iter().filter(|record| record[4].parse::<f64>().unwrap() >= 0.5).count() as f64 / rows.len() as f64
        };
        let all = share(&|_| true);
        let black = share(&|record| record[17].parse::<f64>().is_ok_and(|share| share >= 0.5));
        assert!((0.09..0.16).contains(&all), "{all}");
        assert!(black > 1.7 * all, "{black} and {all}");
    }

    #[test]
    fn rude_words_tell_toxic_comments_but_for_one_in_twenty() {
        let rude: Vec<&str> = RUDE.split_whitespace().collect();
        let records = records(2_000);
        let agree = records.iter().filter(|record| {
            let has = rude.iter().any(|word| record[2].to_lowercase().contains(word));
            has == (record[4].parse::<f64>().unwrap() >= 0.5)
        });
        let share = agree.count() as f64 / records.len() as f64;
        assert!((0.92..0.98).contains(&share), "{share}");
    }
}
