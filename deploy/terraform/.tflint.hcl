# The rules that come with tflint, all of them. Those about AWS are a plugin that is fetched, and stay out.
plugin "terraform" {
  enabled = true
  preset  = "all"
}
