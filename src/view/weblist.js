// Opens or closes every line's machine code at once; each alone needs no script.
{
  const button = document.querySelector('button')
  const all = document.querySelectorAll('details')
  button.hidden = all.length === 0
  button.addEventListener('click', () => {
    const open = button.getAttribute('aria-pressed') !== 'true'
    for (const line of all) line.open = open
    button.setAttribute('aria-pressed', String(open))
    button.textContent = open ? 'Hide machine code' : 'Show machine code'
  })
}
