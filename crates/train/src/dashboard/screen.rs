//! The terminal, and a thread that draws on it.

use super::{OPEN, View};
use anyhow::{Context, Result};
use ratatui::Terminal;
use ratatui::backend::TermionBackend;
use ratatui::termion::async_stdin;
use ratatui::termion::event::Key;
use ratatui::termion::input::TermRead;
use ratatui::termion::raw::IntoRawMode;
use ratatui::termion::screen::IntoAlternateScreen;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it draws and looks for keys.
const PAUSE: Duration = Duration::from_millis(200);

/// A terminal that a thread draws on and listens to.
pub(crate) struct Dashboard {
    view: Arc<Mutex<View>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Dashboard {
    /// Takes the terminal, if there is one. q, or Ctrl-C, sets `stop`; the second time the program ends at once.
    pub fn open(title: &str, epochs: u64, stop: &Arc<AtomicBool>) -> Result<Option<Self>> {
        if !std::io::stdout().is_terminal() {
            return Ok(None);
        }
        let screen = std::io::stdout().into_raw_mode().and_then(IntoAlternateScreen::into_alternate_screen);
        let terminal = screen.and_then(|screen| Terminal::new(TermionBackend::new(screen)));
        let mut terminal = terminal.context("--tui: the terminal can't be had")?;
        let view = Arc::new(Mutex::new(View { title: title.into(), epochs, ..View::default() }));
        let over = Arc::new(AtomicBool::new(false));
        let (shown, until, stop) = (view.clone(), over.clone(), stop.clone());
        OPEN.store(true, Ordering::Relaxed);
        let thread = std::thread::spawn(move || {
            let mut keys = async_stdin().keys();
            while !until.load(Ordering::Relaxed) {
                while let Some(key) = keys.next() {
                    let asked = matches!(key?, Key::Char('q') | Key::Ctrl('c'));
                    if asked && stop.swap(true, Ordering::Relaxed) {
                        drop(terminal);
                        std::process::exit(130);
                    }
                }
                lock(&shown).stopping = stop.load(Ordering::Relaxed);
                let now = lock(&shown).clone();
                terminal.draw(|frame| now.draw(frame))?;
                std::thread::sleep(PAUSE);
            }
            Ok(())
        });
        Ok(Some(Self { view, over, thread: Some(thread) }))
    }

    pub fn update(&self, change: impl FnOnce(&mut View)) {
        change(&mut lock(&self.view));
    }
}

fn lock(view: &Mutex<View>) -> MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Dashboard {
    /// Gives the terminal back, and says again what was said on it.
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // If it couldn't draw, there is nothing more to do about it.
        let _ = self.thread.take().map(JoinHandle::join);
        OPEN.store(false, Ordering::Relaxed);
        let mut out = std::io::stdout().lock();
        // The terminal may be gone.
        lock(&self.view).messages.iter().for_each(|line| _ = writeln!(out, "{line}"));
    }
}
