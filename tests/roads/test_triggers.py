"""What starts an execution is `steps.trigger` in all its segments."""

from roads.rider import Rider, returned

READ = "dict(steps.trigger.event), steps.trigger.context.kind, steps.trigger.context.id, steps.trigger.context.ts"


def test_parameters_are_the_event_before_and_after_a_pause(rider: Rider) -> None:
    view = rider.run(f"%%step ask\nflow.suspend()\n{READ}", f"%%step last\n{READ}", alpha=0.6)
    ended = rider.answer(view["id"])

    seen = [{"alpha": 0.6}, "run", view["id"], view["created_at"]]
    assert (returned(ended, "ask"), returned(ended, "last")) == (seen, seen)


def test_a_notebook_that_a_step_runs_has_the_parameters_it_was_given(rider: Rider) -> None:
    rider.notebook("%%step tell\ndict(steps.trigger.event), steps.trigger.context.kind", name="child.ipynb")
    ended = rider.ride(
        rider.start(
            "%%step call\nflow.run_notebook('child.ipynb', {'n': 1}, name='c')", "%%step last\nsteps.call.c.tell"
        ),
        until_pause=False,
    )

    assert returned(ended, "last")["$return_value"] == [{"n": 1}, "notebook"]
