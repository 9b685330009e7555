//! Bodies of answers: whole in memory, read from a file as the client takes them, or sent in pieces.

use std::fs::File;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Piece of a file that is in memory at a time, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// Body of an answer.
#[derive(Debug)]
pub(crate) enum Reply {
    /// All of it.
    Whole(Full<Bytes>),
    /// A file, piece by piece.
    File(FileBody),
    /// Pieces as somebody sends them. An error breaks the connection off, so that nobody takes what has
    /// come for the whole.
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl Reply {
    pub(crate) fn whole(octets: Bytes) -> Self {
        Self::Whole(Full::new(octets))
    }

    /// The first `length` bytes of a file. Where there are fewer, the connection breaks off, so that
    /// nobody takes half of it for the whole.
    pub(crate) fn file(file: File, length: u64) -> Self {
        Self::File(FileBody { state: State::Idle(file), left: length })
    }
}

/// A file on its way out. No thread is held while the client does not read.
#[derive(Debug)]
pub(crate) struct FileBody {
    state: State,
    /// Bytes that are still to be read.
    left: u64,
}

#[derive(Debug)]
enum State {
    Idle(File),
    Reading(JoinHandle<(File, io::Result<Bytes>)>),
    Ended,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(full) => Pin::new(full).poll_frame(context).map_err(|never| match never {}),
            Self::File(file) => file.poll_piece(context).map(|it| it.map(|it| it.map(Frame::data))),
            Self::Pieces(pieces) => {
                pieces.poll_recv(context).map(|it| it.map(|it| it.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(full) => full.is_end_stream(),
            Self::File(file) => file.left == 0,
            Self::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(full) => full.size_hint(),
            Self::File(file) => SizeHint::with_exact(file.left),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

impl FileBody {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Idle(_) if self.left == 0 => return Poll::Ready(None),
                State::Idle(file) => {
                    let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(PIECE_BYTES);
                    let reading = tokio::task::spawn_blocking(move || read(file, most));
                    self.state = State::Reading(reading);
                }
                State::Reading(mut reading) => {
                    let Poll::Ready(done) = Pin::new(&mut reading).poll(context) else {
                        self.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    let (file, piece) = done.map_err(io::Error::other)?;
                    let piece = piece?;
                    self.left -= piece.len() as u64;
                    self.state = State::Idle(file);
                    return Poll::Ready(Some(Ok(piece)));
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

/// The next piece, at least one byte of it.
fn read(mut file: File, most: usize) -> (File, io::Result<Bytes>) {
    let mut piece = vec![0; most];
    let read = file.read(&mut piece).and_then(|count| match count {
        0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        _ => Ok(count),
    });
    let piece = read.map(|count| {
        piece.truncate(count);
        Bytes::from(piece)
    });
    (file, piece)
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use http_body_util::BodyExt as _;

    use super::*;

    fn file(length: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let octets: Vec<u8> = (0..length).map(|it| u8::try_from(it % 251).unwrap()).collect();
        file.write_all(&octets).unwrap();
        file.rewind().unwrap();
        file
    }

    #[tokio::test]
    async fn a_file_goes_out_in_pieces_that_are_the_file() {
        let length = 3 * PIECE_BYTES + 7;
        let mut body = Reply::file(file(length), length as u64);
        assert_eq!(body.size_hint().exact(), Some(length as u64));
        let (mut seen, mut pieces) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE_BYTES);
            seen.extend_from_slice(&piece);
            pieces += 1;
        }
        assert_eq!((seen.len(), pieces), (length, 4));
        assert!(seen.iter().enumerate().all(|(at, it)| usize::from(*it) == at % 251));
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_an_error_and_not_an_end() {
        let collected = Reply::file(file(10), 11).collect().await;
        assert_eq!(collected.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
