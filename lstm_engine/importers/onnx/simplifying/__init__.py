"""One model made plain: no constants among its values, no If, no functions, one form of each operator, shapes known."""
