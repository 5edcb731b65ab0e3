"""Of requests that wait, only the latest is answered."""

import threading

from teacherstudent.explorer.latest import LatestWins


def test_the_latest_request_wins():
    begun, may_end = threading.Event(), threading.Event()
    answers = []

    def work(request):
        begun.set()
        may_end.wait()
        return request**2

    worker = LatestWins(work, lambda *answer: answers.append(answer))
    worker.ask(2)
    begun.wait()  # from here on the others wait
    for request in (3, 4, 5):
        worker.ask(request)
    may_end.set()
    worker.close()
    assert answers == [(2, 4, False), (5, 25, True)]


def test_what_is_left_is_not_answered():
    begun, may_end = threading.Event(), threading.Event()
    answers = []

    def work(request):
        begun.set()
        may_end.wait()
        return request

    worker = LatestWins(work, lambda *answer: answers.append(answer))
    worker.ask(1)
    begun.wait()
    worker.ask(2)
    worker.leave()
    may_end.set()
    worker.close()
    assert answers == [(1, 1, True)]
