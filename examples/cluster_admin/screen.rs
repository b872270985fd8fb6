//! Where the tool writes, and who can be asked.

use std::io::{self, BufRead, IsTerminal, Write};

/// Standard output, standard error and whoever sits before them; or what stands for them in a test.
pub(crate) struct Screen {
    /// What was asked for: text, JSON, a picture.
    pub(crate) out: Box<dyn Write + Send>,
    /// Questions, progress and errors.
    pub(crate) err: Box<dyn Write + Send>,
    /// Whose answers count; `None` if nobody is there.
    pub(crate) answers: Option<Box<dyn BufRead + Send>>,
    /// Whether a bar can be drawn over itself; if not, progress is told in lines.
    pub(crate) draws: bool,
}

impl Screen {
    pub(crate) fn of_process() -> Self {
        let is_attended = io::stdin().is_terminal() && io::stderr().is_terminal();
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            answers: is_attended
                .then(|| Box::new(io::BufReader::new(io::stdin())) as Box<dyn BufRead + Send>),
            draws: io::stderr().is_terminal(),
        }
    }

    /// Whether whoever is there says yes; `None` if nobody is.
    pub(crate) fn ask(&mut self, question: &str) -> io::Result<Option<bool>> {
        let Some(answers) = &mut self.answers else { return Ok(None) };
        write!(self.err, "{question} [yes/no] ")?;
        self.err.flush()?;
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        Ok(Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")))
    }
}
