"""What goes wrong between an operator and the daemon."""


class ControlError(Exception):
    """What was asked cannot be had. One line, with the mend."""


class NotRunningError(ControlError):
    """No daemon listens."""
