"""One model made plain: no constants among its values, no inner graphs, one form of each operator, shapes known."""
