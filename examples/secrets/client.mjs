// Asks the server every second, and says what came of it.
const { URL: url, TOKEN: token } = process.env;

async function ask() {
  try {
    const { status } = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
    console.log(`the server answers ${status}`);
  } catch (error) {
    console.log(`the server does not answer: ${error.message}`);
  }
}

await ask();
setInterval(ask, 1000);
