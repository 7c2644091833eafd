"""One model made plain: no constants among its values, no inner graphs, no functions, one form of each operator, shapes known."""
