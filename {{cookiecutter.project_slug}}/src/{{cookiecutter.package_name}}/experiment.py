{% include ["examples/" ~ cookiecutter.example ~ "/experiment.py", "templates/" ~ "examples/" ~ cookiecutter.example ~ "/experiment.py"] -%}
