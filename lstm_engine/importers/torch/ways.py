"""What to type next, for messages about files that do not say everything."""

from __future__ import annotations

HOW = ("say it in a spec: `lstm-engine inspect FILE --spec > net.json` proposes one, convert takes it as spec= or "
       "--spec (docs/spec.md)")
EXPORT = ("Where its Python class is, a function that builds it is enough: `lstm-engine convert model.py:build "
          "--weights FILE` (docs/torch.md). Or export what it computes: program = "
          "torch.export.export(model.eval(), (example,), "
          "dynamic_shapes=[{0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}]); "
          "torch.export.save(program, \"model.pt2\"), and convert model.pt2. "
          f"If its weights in a plain chain of layers are all there is to it, {HOW}")
