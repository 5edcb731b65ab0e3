"""(being written)"""

from teacherstudent.averages.base import Averages


class QuadratureAverages(Averages):
    pass
