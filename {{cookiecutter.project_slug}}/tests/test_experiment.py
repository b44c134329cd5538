{% include ["examples/" ~ cookiecutter.example ~ "/test_experiment.py", "templates/" ~ "examples/" ~ cookiecutter.example ~ "/test_experiment.py"] -%}
