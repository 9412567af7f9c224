//! The one thread that computes, and the bounded queue before it.

use super::metrics::Metrics;
use super::response::Response;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData, activation};
use models::Network;
use models::weights::Card;
use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most images classified together.
const BATCH: usize = 32;
/// How long a request waits for its turn and its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A network that can be asked.
#[derive(Debug)]
pub struct Loaded {
    /// The epoch that it is from, of a run; `None` for the network itself.
    pub epoch: Option<u64>,
    /// The network.
    pub network: Network,
    /// Its card.
    pub card: Card,
}

impl Loaded {
    /// Where it computes.
    pub fn device(&self) -> Device {
        self.network.devices().into_iter().next().unwrap_or_default()
    }

    /// `[n, C, H, W]`.
    pub fn tensor(&self, values: Vec<f32>) -> Tensor<4> {
        let [c, h, w] = self.card.input.shape();
        let n = values.len() / (c * h * w);
        Tensor::from_data(TensorData::new(values, [n, c, h, w]), &self.device())
    }
}

type Anything = Box<dyn Any + Send>;
type Work = Box<dyn FnOnce(&[Loaded], Instant) -> Anything + Send>;

/// Where an answer goes.
type Reply<T> = SyncSender<Result<T, String>>;

/// What is to be computed, and where the answer goes.
enum Job {
    /// Class probabilities of an image, `[C, H, W]`: those that wait are done together.
    Classify(usize, Vec<f32>, Reply<Vec<f32>>),
    /// Anything else.
    Other(Work, Reply<Anything>),
}

/// A job, and when whoever asked gives up.
type Asked = (Job, Instant);

/// Where requests ask.
#[derive(Clone, Debug)]
pub struct Engine {
    jobs: SyncSender<Asked>,
    /// Requests under way, and how many there may be.
    under_way: Arc<AtomicUsize>,
    room: usize,
    /// Images being decoded, and whoever waits for a turn.
    decoding: Arc<(Mutex<usize>, Condvar)>,
    /// What the networks are: everything about them but their weights.
    pub about: Arc<Vec<About>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// A request's place among those that may be under way at once; given back when dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a network is.
#[derive(Debug)]
pub struct About {
    /// The epoch that it is from, of a run.
    pub epoch: Option<u64>,
    /// Its card.
    pub card: Card,
    /// Its layers.
    pub rows: Vec<models::Row>,
    /// Of its layer with a connection table: the name, and the maps that each map sees.
    pub table: Option<(String, Vec<Vec<usize>>)>,
    /// Trainable numbers.
    pub parameters: usize,
}

impl Engine {
    /// Starts the thread, with room for `queue` requests before it.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(loaded: Vec<Loaded>, queue: usize) -> std::io::Result<(Self, JoinHandle<()>)> {
        let about = loaded.iter().map(|l| About {
            epoch: l.epoch,
            card: l.card.clone(),
            rows: l.network.summary(),
            table: l.network.layers().find_map(|(name, op)| match op {
                models::Op::TableConv(layer) => Some((name.to_string(), layer.table().to_vec())),
                _ => None,
            }),
            parameters: l.network.parameters(),
        });
        let about = Arc::new(about.collect());
        let metrics = Arc::new(Metrics::default());
        let (jobs, inbox) = sync_channel(queue);
        let counters = metrics.clone();
        let work = std::thread::Builder::new().name("engine".into()).spawn(move || run(&loaded, &inbox, &counters))?;
        let (under_way, decoding) = (Arc::default(), Arc::default());
        Ok((Self { jobs, under_way, room: queue, decoding, about, metrics }, work))
    }

    /// A place for a request, before anything is done for it.
    ///
    /// # Errors
    /// 503 if all are taken.
    pub fn admit(&self) -> Result<Place, Response> {
        let place = Place(self.under_way.clone());
        match self.under_way.fetch_add(1, Ordering::SeqCst) < self.room {
            true => Ok(place),
            false => Err(Response::busy("too many requests are waiting; try again")),
        }
    }

    /// Runs `decode` when its turn comes: an image takes a hundred times the memory of its file, so no more are decoded at
    /// once than there are processors.
    pub fn decode<T>(&self, decode: impl FnOnce() -> T) -> T {
        let (busy, free) = &*self.decoding;
        let most = std::thread::available_parallelism().map_or(2, usize::from);
        let lock = busy.lock().unwrap_or_else(PoisonError::into_inner);
        let mut busy_now = free.wait_while(lock, |busy| *busy >= most).unwrap_or_else(PoisonError::into_inner);
        *busy_now += 1;
        drop(busy_now);
        let done = catch_unwind(AssertUnwindSafe(decode));
        *busy.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        free.notify_one();
        done.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Class probabilities of an image.
    ///
    /// # Errors
    /// 503 if too many wait already, 500 if the computation fails.
    pub fn classify(&self, network: usize, image: Vec<f32>) -> Result<Vec<f32>, Response> {
        self.ask(Instant::now() + PATIENCE, |reply| Job::Classify(network, image, reply))
    }

    /// Whatever `work` computes. It hears when nobody waits for it any longer.
    ///
    /// # Errors
    /// As [`Engine::classify`].
    pub fn compute<T: Send + 'static>(
        &self,
        network: usize,
        work: impl FnOnce(&Loaded, Instant) -> T + Send + 'static,
    ) -> Result<T, Response> {
        let work: Work = Box::new(move |loaded, until| Box::new(work(&loaded[network], until)));
        let answer = self.ask(Instant::now() + PATIENCE, |reply| Job::Other(work, reply))?;
        answer.downcast().map(|answer| *answer).map_err(|_| Response::error(500, "the answer went astray"))
    }

    fn ask<T>(&self, until: Instant, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, Response> {
        let (reply, answer) = sync_channel(1);
        match self.jobs.try_send((job(reply), until)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err(Response::busy("too many requests are waiting; try again")),
            Err(TrySendError::Disconnected(_)) => return Err(Response::busy("the server is ending")),
        }
        self.metrics.waiting.fetch_add(1, Ordering::Relaxed);
        let answer = answer.recv_timeout(until.saturating_duration_since(Instant::now()));
        self.metrics.waiting.fetch_sub(1, Ordering::Relaxed);
        match answer {
            // Whatever has come: a job that was dropped, or stopped on the way, for its time has no answer of its own.
            _ if Instant::now() >= until => Err(Response::error(504, "the answer took too long")),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(problem)) => Err(Response::error(500, &problem)),
            Err(_) => Err(Response::error(500, "the computation was given up")),
        }
    }
}

fn run(loaded: &[Loaded], inbox: &Receiver<Asked>, metrics: &Metrics) {
    let mut waiting: VecDeque<Asked> = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match inbox.recv() {
                Ok(job) => waiting.push_back(job),
                Err(_) => return, // nobody is left to ask
            }
        }
        // Whoever came while the last job was done: with one at a time, a batch is one image and nobody waits for more.
        while waiting.len() < BATCH {
            let Ok(job) = inbox.try_recv() else { break };
            waiting.push_back(job);
        }
        waiting.retain(|(_, until)| Instant::now() < *until);
        match waiting.pop_front() {
            Some((Job::Other(work, reply), until)) => {
                let answer = caught(|| work(loaded, until));
                reply.try_send(answer).ok(); // who gave up waiting hears nothing
            }
            Some((Job::Classify(network, image, reply), _)) => {
                let mut together = vec![(image, reply)];
                let (mut others, rest) = (VecDeque::new(), std::mem::take(&mut waiting));
                for (job, until) in rest {
                    match job {
                        Job::Classify(other, image, reply) if other == network => together.push((image, reply)),
                        job => others.push_back((job, until)),
                    }
                }
                waiting = others;
                classify(&loaded[network], together, metrics);
            }
            None => {}
        }
    }
}

fn classify(loaded: &Loaded, together: Vec<(Vec<f32>, Reply<Vec<f32>>)>, metrics: &Metrics) {
    let n = together.len();
    let (images, replies): (Vec<_>, Vec<_>) = together.into_iter().unzip();
    let answer = caught(|| {
        let logits = loaded.network.forward(loaded.tensor(images.concat())).map_err(|e| e.to_string())?;
        Ok::<_, String>(activation::softmax(logits, 1).into_data().iter::<f32>().collect::<Vec<_>>())
    });
    metrics.batches.fetch_add(1, Ordering::Relaxed);
    metrics.images.fetch_add(n as u64, Ordering::Relaxed);
    match answer.and_then(|inner| inner) {
        Ok(probabilities) => {
            for (reply, row) in replies.iter().zip(probabilities.chunks_exact(probabilities.len() / n)) {
                reply.try_send(Ok(row.to_vec())).ok();
            }
        }
        Err(problem) => {
            for reply in &replies {
                reply.try_send(Err(problem.clone())).ok();
            }
        }
    }
}

/// A panic in one computation is that request's error, not the server's end.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| String::from("the computation failed; the server goes on"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::{device, weights};

    fn engine(queue: usize) -> (Engine, JoinHandle<()>) {
        let (network, card) = weights::load(weights::LENET5_MNIST, &device::parse("flex").unwrap()).unwrap();
        Engine::start(vec![Loaded { epoch: None, network, card }], queue).unwrap()
    }

    /// Keeps the network busy, until it is told that that was enough.
    fn busy(engine: &Engine) -> (SyncSender<()>, JoinHandle<()>) {
        let (hold, held) = sync_channel::<()>(1);
        let (begun, has_begun) = sync_channel::<()>(1);
        let busy = engine.clone();
        let first = std::thread::spawn(move || {
            busy.compute(0, move |_, _| {
                begun.send(()).unwrap();
                held.recv().unwrap();
            })
            .unwrap();
        });
        has_begun.recv().unwrap();
        (hold, first)
    }

    #[test]
    fn a_panic_is_one_requests_error() {
        let (engine, work) = engine(4);
        let error = engine.compute(0, |_, _| -> () { panic!("on purpose") }).unwrap_err();
        assert_eq!(error.status, 500);
        assert_eq!(engine.classify(0, vec![0.0; 1024]).unwrap().len(), 10);
        drop(engine);
        work.join().unwrap();
    }

    #[test]
    fn nothing_is_computed_for_who_gave_up() {
        let (engine, work) = engine(4);
        let (hold, first) = busy(&engine);
        let soon = Instant::now() + Duration::from_millis(10);
        let late = engine.ask(soon, |reply| Job::Classify(0, vec![0.0; 1024], reply)).unwrap_err();
        assert_eq!(late.status, 504);
        hold.send(()).unwrap();
        first.join().unwrap();
        engine.classify(0, vec![0.0; 1024]).unwrap();
        assert_eq!(engine.metrics.images.load(Ordering::Relaxed), 1, "one of the two still waited");
        drop(engine);
        work.join().unwrap();
    }

    #[test]
    fn who_waits_together_is_answered_together_and_who_finds_no_room_is_told() {
        let (engine, work) = engine(8);
        let (hold, first) = busy(&engine);
        let asking: Vec<_> = (0..32)
            .map(|i| {
                let engine = engine.clone();
                std::thread::spawn(move || engine.classify(0, vec![i as f32 / 32.0; 1024]).map_err(|e| e.status))
            })
            .collect();
        // All but the eight that fit are turned away at once, while the network is busy.
        while asking.iter().filter(|t| t.is_finished()).count() < 24 {
            std::thread::sleep(Duration::from_millis(1));
        }
        hold.send(()).unwrap();
        first.join().unwrap();
        let answers: Vec<_> = asking.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(answers.iter().filter(|a| **a == Err(503)).count(), 24);
        // Each got its own image's answer.
        for (i, answer) in answers.iter().enumerate().filter(|(_, a)| a.is_ok()) {
            let alone = engine.classify(0, vec![i as f32 / 32.0; 1024]).unwrap();
            let near = alone.iter().zip(answer.as_ref().unwrap()).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(near, "{i}: {answer:?}, alone {alone:?}");
        }
        assert_eq!(engine.metrics.batches.load(Ordering::Relaxed), 1 + 8, "eight together, then eight alone");
        drop(engine);
        work.join().unwrap();
    }
}
