import pickle

import pytest

import gpbo
from gpbo import errors

CLASSES = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.GpboError)]


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (gpbo.SpaceError, ValueError),
        (gpbo.SpaceTypeError, TypeError),
        (gpbo.TellError, ValueError),
        (gpbo.TellTypeError, TypeError),
        (gpbo.ArgumentError, ValueError),
        (gpbo.ArgumentTypeError, TypeError),
        (gpbo.UnknownTrialError, LookupError),
        (gpbo.SpaceExhausted, RuntimeError),
        (gpbo.NotReadyError, RuntimeError),
    ],
)
def test_errors_are_also_the_builtin_ones_python_users_expect(error, builtin):
    assert issubclass(error, builtin)
    assert issubclass(error, gpbo.GpboError)


@pytest.mark.parametrize("error", CLASSES)
def test_errors_survive_pickling(error):
    again = pickle.loads(pickle.dumps(error("what, and what to do")))
    assert type(again) is error
    assert str(again) == "what, and what to do"


def test_exhausted_carries_how_many_points_are_left_through_pickling():
    assert pickle.loads(pickle.dumps(gpbo.SpaceExhausted("few", 3))).left == 3


def test_failed_trial_warning_is_a_user_warning():
    assert issubclass(gpbo.FailedTrialWarning, UserWarning)
