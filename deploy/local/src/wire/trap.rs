//! Faults that wait for their bytes.

use super::Toward;

/// Springs once, on one connection.
#[derive(Clone)]
pub(super) enum Trap {
    /// When so many more bytes have passed.
    After { toward: Toward, left: u64 },
    /// Within this.
    Within { toward: Toward, text: Vec<u8> },
    /// On what comes back once this has passed toward the server.
    Answer { text: Vec<u8> },
}

/// What a trap makes of a piece of bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Pass,
    /// So many of them pass, then the connection is cut.
    Cut(usize),
    /// They pass, and the connection is cut in place of what comes back.
    LoseAnswer,
}

impl Trap {
    /// Judges a piece. `before` is the caller's to keep, one for each direction of each connection: the end of what has passed,
    /// for a text that comes in two pieces.
    pub(super) fn judge(&mut self, way: Toward, before: &mut Vec<u8>, piece: &[u8]) -> Fate {
        match self {
            Trap::After { toward, left } if *toward == way => {
                let length = piece.len() as u64;
                if *left <= length {
                    return Fate::Cut(*left as usize);
                }
                *left -= length;
                Fate::Pass
            }
            Trap::Within { toward, text } if *toward == way => match find(text, before, piece) {
                Some(end) => Fate::Cut(end - 1),
                None => Fate::Pass,
            },
            Trap::Answer { text } if way == Toward::Server => match find(text, before, piece) {
                Some(_) => Fate::LoseAnswer,
                None => Fate::Pass,
            },
            _ => Fate::Pass,
        }
    }
}

/// Where in `piece` the first `text` ends that does not end before it.
fn find(text: &[u8], before: &mut Vec<u8>, piece: &[u8]) -> Option<usize> {
    let old = before.len();
    before.extend_from_slice(piece);
    let found = before.windows(text.len()).position(|window| window == text).map(|start| start + text.len() - old);
    // Shorter than the text, so that it cannot be found twice.
    before.drain(..before.len().saturating_sub(text.len() - 1));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(trap: &mut Trap, way: Toward, pieces: &[&str]) -> Vec<Fate> {
        let mut before = vec![];
        pieces.iter().map(|piece| trap.judge(way, &mut before, piece.as_bytes())).collect()
    }

    #[test]
    fn a_text_is_found_however_it_is_cut_to_pieces() {
        let within = || Trap::Within { toward: Toward::Client, text: b"COMMIT".to_vec() };
        for (pieces, last) in [
            (&["xCOMMITx"][..], Fate::Cut(6)),
            (&["xCOM", "MITx"], Fate::Cut(2)),
            (&["C", "O", "M", "M", "I", "T"], Fate::Cut(0)),
            (&["COMMI", "COMMIT"], Fate::Cut(5)),
        ] {
            let fates = judge(&mut within(), Toward::Client, pieces);
            let (end, before) = fates.split_last().expect("a fate for each piece");
            assert_eq!(end, &last, "{pieces:?}");
            assert!(before.iter().all(|fate| *fate == Fate::Pass), "{pieces:?}");
            assert!(judge(&mut within(), Toward::Server, pieces).iter().all(|fate| *fate == Fate::Pass));
        }
    }

    #[test]
    fn bytes_are_counted_over_pieces() {
        let mut trap = Trap::After { toward: Toward::Server, left: 5 };
        assert_eq!(judge(&mut trap, Toward::Client, &["123456"]), [Fate::Pass]);
        assert_eq!(judge(&mut trap, Toward::Server, &["12", "34", "56"]), [Fate::Pass, Fate::Pass, Fate::Cut(1)]);
    }

    #[test]
    fn an_answer_is_lost_to_its_request() {
        let mut trap = Trap::Answer { text: b"SET".to_vec() };
        assert_eq!(judge(&mut trap, Toward::Client, &["SET"]), [Fate::Pass]);
        assert_eq!(judge(&mut trap, Toward::Server, &["GET S", "ET k"]), [Fate::Pass, Fate::LoseAnswer]);
    }
}
