"""The end of a training in which nothing gets better, also where it was killed and goes on."""

from __future__ import annotations

from typing import Any


def patience(evaluations: int) -> Any:
    """The callback that ends a training after so many evaluations without gain.

    How many there were is kept with each checkpoint (the trainer's ``restore_callback_states_from_checkpoint``). A run
    that was killed after its last evaluation, but before its end, is told so at once; the trainer's loop has to heed
    it, see :func:`is_over`.

    Args:
        evaluations: How many.

    Returns:
        A ``transformers.TrainerCallback``.
    """
    from transformers import EarlyStoppingCallback

    class Patience(EarlyStoppingCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            super().on_train_begin(args, state, control, **more)  # type: ignore[no-untyped-call, unused-ignore]
            if self.early_stopping_patience_counter >= self.early_stopping_patience:
                control.should_training_stop = True

    return Patience(evaluations)


def is_over(trainer: Any) -> bool:
    """Whether a training that goes on has no step left: nothing got better, or all its steps were taken.

    transformers looks only after a step whether one was wanted.

    Args:
        trainer: Of transformers, its callbacks told that the training begins.
    """
    return bool(trainer.control.should_training_stop or trainer.state.global_step >= trainer.state.max_steps)
