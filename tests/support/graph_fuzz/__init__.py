"""Random ONNX graphs, run by this engine in every way there is and judged by ONNX Runtime and by float64.

    case.py       a graph with what it was made of     builder.py   nodes added one after the other
    blocks*.py    what a random graph is made of       make.py      a graph from a seed
    truth.py      the exact numbers, in float64        oracle.py    both oracles and the tolerance between them
    ways.py       the ways to run that must agree      parts.py     those that run a part: lengths, lists, streams
    shrink.py     a smaller graph with the same fault  batch.py     many seeds, in child processes; the table
"""
