project = "pack"
