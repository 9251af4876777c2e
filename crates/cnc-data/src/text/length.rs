//! How short texts may be cut.

/// `[CLS]`, a token and `[SEP]`: less says nothing.
const SHORTEST: usize = 3;

/// Whether texts can be cut to so many tokens, as far as nothing is known of the model.
pub(crate) fn check_length(max_length: usize) -> Result<(), String> {
    if max_length < SHORTEST {
        return Err(format!("{max_length} is too short: at least {SHORTEST} tokens are needed, [CLS], one and [SEP]"));
    }
    Ok(())
}
