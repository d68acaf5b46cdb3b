//! Where a command prints and whom it asks.

use std::io::{BufRead, Write};

use crate::failure::Failure;

/// The streams of a command.
pub struct Console<'a> {
    /// Standard output: the answer, and nothing else.
    pub out: &'a mut dyn Write,
    /// Standard error: progress, questions and errors.
    pub err: &'a mut dyn Write,
    /// A terminal at which somebody answers questions, if there is one.
    pub input: Option<&'a mut dyn BufRead>,
}

impl Console<'_> {
    /// Prints the answer.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        if text.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "{text}")
            .and_then(|()| self.out.flush())
            .map_err(Failure::Output)
    }

    /// Prints a line about the progress or an error. That standard error is closed ends nothing.
    pub(crate) fn say(&mut self, line: &str) {
        let _ = writeln!(self.err, "{}: {line}", crate::program::NAME);
    }

    /// Asks whether to do something that cannot be undone. `yes` is the option of that name.
    pub(crate) fn confirm(&mut self, what: &str, yes: bool) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        let Some(input) = self.input.as_mut() else {
            return Err(Failure::Usage(format!(
                "{what}: this cannot be undone; say --yes, since nobody can be asked here"
            )));
        };
        let mut answer = String::new();
        let asked = write!(self.err, "{what}; this cannot be undone. Go on? [y/N] ")
            .and_then(|()| self.err.flush())
            .and_then(|()| input.read_line(&mut answer));
        match asked {
            Ok(_) if matches!(answer.trim(), "y" | "Y" | "yes") => Ok(()),
            Ok(_) => Err(Failure::Refused("nothing was changed".to_owned())),
            Err(error) => Err(Failure::Output(error)),
        }
    }
}
