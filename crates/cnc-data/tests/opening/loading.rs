//! Batches made ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cnc_data::{Augment, DataError, Draw, prefetch};

use crate::common::Folder;

fn draw(rows: Vec<u32>, tag: usize) -> Draw<usize> {
    Draw { rows, augment: Augment::None, tag }
}

#[test]
fn batches_come_in_the_order_of_their_draws_with_their_tags() {
    let split = Folder::new().open().unwrap().train;
    let draws = (0..10).map(|tag| draw(vec![tag as u32, 0], tag));
    let items: Vec<_> = prefetch(split, draws, 3).collect::<Result<_, _>>().unwrap();
    assert_eq!(items.len(), 10);
    for (at, (batch, tag)) in items.iter().enumerate() {
        assert_eq!((*tag, batch.indices.as_slice()), (at, &[at as u32, 0][..]));
    }
}

#[test]
fn a_prefetched_batch_is_the_batch_made_directly() {
    let folder = Folder::new();
    folder.edit("[splits]", "[transform]\ncrop = 5\n\n[splits]");
    let split = folder.open().unwrap().train;
    let augment = Augment::Random { seed: 9 };
    let (batch, ()) = prefetch(Arc::clone(&split), [Draw { rows: vec![3, 1], augment, tag: () }].into_iter(), 1)
        .next()
        .unwrap()
        .unwrap();
    let values = |batch: &cnc_data::Batch| match &batch.inputs {
        cnc_data::Inputs::Images(images) => images.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        cnc_data::Inputs::Tokens { .. } => panic!("these are images"),
    };
    assert_eq!(values(&batch), values(&split.batch(&[3, 1], augment).unwrap()));
}

#[test]
fn an_error_takes_the_place_of_its_batch_and_ends_the_loading() {
    let split = Folder::new().open().unwrap().train;
    let draws = [draw(vec![0], 0), draw(vec![1_000], 1), draw(vec![2], 2)];
    let mut items = prefetch(split, draws.into_iter(), 2);
    assert_eq!(items.next().unwrap().unwrap().1, 0);
    assert!(items.next().unwrap().unwrap_err().to_string().contains("row 1000"));
    assert!(items.next().is_none() && items.next().is_none());
}

#[test]
fn an_endless_loader_that_is_dropped_early_stops() {
    let split = Folder::new().open().unwrap().train;
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    let draws = (0..).map(move |tag| {
        counter.fetch_add(1, Ordering::SeqCst);
        draw(vec![0], tag)
    });
    let mut items = prefetch(Arc::clone(&split), draws, 2);
    assert!(items.next().is_some());
    drop(items);
    // The thread has ended: nothing holds the split or the draws any more, and it was never far ahead.
    assert_eq!((Arc::strong_count(&split), Arc::strong_count(&made)), (1, 1));
    assert!(made.load(Ordering::SeqCst) <= 5);
}

#[test]
fn a_panic_in_the_draws_is_an_error_and_not_a_short_epoch() {
    let split = Folder::new().open().unwrap().train;
    let draws = (0..3).map(|tag| if tag == 1 { panic!("a sampler's mistake") } else { draw(vec![0], tag) });
    let items: Vec<_> = prefetch(split, draws, 1).collect();
    assert_eq!(items.len(), 2);
    assert!(items[0].is_ok());
    match &items[1] {
        Err(DataError::Loader(message)) => assert!(message.contains("a sampler's mistake")),
        other => panic!("{other:?}"),
    }
}
