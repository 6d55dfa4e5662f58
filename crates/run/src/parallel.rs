//! Work on all CPUs at once. Every loop over machines, files, ports goes through here, so that what is logged on a worker
//! thread stands under the spans of its caller.

use rayon::prelude::*;
use tracing::dispatcher::{self, Dispatch};

/// Does something with each item; what came of it, in the order of the items.
pub fn map<I, R>(items: I, each: impl Fn(I::Item) -> R + Sync + Send) -> Vec<R>
where
    I: IntoParallelIterator<Iter: IndexedParallelIterator>,
    R: Send,
{
    let caller = Caller::this();
    items.into_par_iter().map(|item| caller.hears(|| each(item))).collect()
}

/// Does something once on every CPU.
pub fn on_every_cpu(work: impl Fn() + Sync) {
    let caller = Caller::this();
    rayon::broadcast(|_| caller.hears(&work));
}

/// Who asked for work: the subscriber of its thread, and the span that it is in. Both are a thread's own.
struct Caller {
    subscriber: Dispatch,
    span: tracing::Span,
}

impl Caller {
    fn this() -> Self {
        Self { subscriber: dispatcher::get_default(Dispatch::clone), span: tracing::Span::current() }
    }

    fn hears<R>(&self, work: impl FnOnce() -> R) -> R {
        dispatcher::with_default(&self.subscriber, || self.span.in_scope(work))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("nobody panicked").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged by `work` under a subscriber of this thread alone, in a span of it.
    fn logged(work: impl FnOnce() + Send) -> Vec<String> {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || tracing::info_span!("asked").in_scope(work));
        let text = String::from_utf8(log.0.lock().expect("nobody panicked").clone()).expect("logs are text");
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn results_are_in_order_and_logs_under_the_callers_span() {
        let lines = logged(|| {
            let squares = map(0..100_u32, |n| {
                tracing::info!(n);
                n * n
            });
            assert_eq!(squares, (0..100).map(|n| n * n).collect::<Vec<_>>());
        });
        let expected: Vec<String> = (0..100).map(|n| format!("INFO asked: n={n}")).collect();
        let mut sorted = lines;
        sorted.sort_by_key(|line| line.rsplit('=').next().and_then(|n| n.parse::<u32>().ok()));
        assert_eq!(sorted, expected);
    }

    #[test]
    fn every_cpu_works_once() {
        let lines = logged(|| on_every_cpu(|| tracing::info!("here")));
        assert_eq!(lines, vec!["INFO asked: here"; rayon::current_num_threads()]);
    }
}
