"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# A busy machine is no mistake of the code.
settings.register_profile("fresh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples in each run, so that the same code does not fail today what it passed yesterday.
settings.register_profile("steady", settings.get_profile("fresh"), derandomize=True)
settings.load_profile("steady")
