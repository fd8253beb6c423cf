"""What a training run shows while it goes on: a bar on a terminal, plain lines elsewhere."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from compacter_cli.training.report import scores_line


class Silent:
    """Shows nothing; what the other displays extend."""

    def line(self, text):
        """Something worth a line of its own."""

    def opening(self, lines):
        """What the run is, before it begins."""

    def start(self, updates, done=0):
        """The run begins: its number of updates, and how many are done already."""

    def update(self, update):
        """One optimizer step is done."""

    def epoch(self, epoch):
        """One epoch is done and scored."""

    def stop(self):
        """The run ends, well or not."""


class Plain(Silent):
    """A line for every epoch, and one for about every tenth of the updates."""

    def __init__(self, console):
        self._console = console

    def line(self, text):
        self._console.print(text, soft_wrap=True)

    def opening(self, lines):
        for line in lines:
            self.line(line)

    def start(self, updates, done=0):
        self._updates = updates

    def update(self, update):
        if update.step % max(1, self._updates // 10) == 0:
            self.line(f"step {update.step}/{self._updates}  {_step_line(update)}")

    def epoch(self, epoch):
        self.line(_epoch_line(epoch))


class Live(Plain):
    """A progress bar with the latest loss and rate, and a line for every epoch above it."""

    def start(self, updates, done=0):
        super().start(updates)
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[latest]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=updates, completed=done, latest="")
        self._bar.start()

    def update(self, update):
        self._bar.update(self._task, completed=update.step, latest=_step_line(update))

    def stop(self):
        if hasattr(self, "_bar"):
            self._bar.stop()


def progress_for(console):
    """The display that fits a console."""
    return Live(console) if console.is_terminal else Plain(console)


def _step_line(update):
    return f"loss {update.loss:.4f}  rate {update.learning_rate:.2e}"


def _epoch_line(epoch):
    best = "  best so far" if epoch.best else ""
    return (
        f"epoch {epoch.number}: loss {epoch.loss:.4f}, validation "
        f"{scores_line(epoch.validation)}{best}"
    )
