"""placeholder"""


def pay_guarded(job):
    return {}
