"""Says of each YAML file below the given folders whether the JSON Schema accepts it.

usage: schema_check.py SCHEMA FOLDER...   prints "<path> accepts" or "<path> refuses" a line; exit 77: modules missing
"""
import pathlib
import sys

try:
    import json

    import jsonschema
    import yaml
except ImportError as missing:
    print(missing)
    sys.exit(77)

schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)

for folder in sys.argv[2:]:
    for path in sorted(pathlib.Path(folder).glob("*.yaml")):
        try:
            accepted = validator.is_valid(yaml.safe_load(path.read_text()))
        except yaml.YAMLError:
            accepted = False
        print(path, "accepts" if accepted else "refuses")
